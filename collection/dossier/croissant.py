"""croissant.json: the release in MLCommons' JSON-LD, with its words on responsible use."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from collection.dossier import citation, datasheet, terms
from collection.dossier.card import FREE, items_of
from collection.dossier.facts import Facts
from collection.export.codebook import Codebook
from collection.export.columns import Column, Kind, Table

OWN = {"croissant.json", "SHA256SUMS"}
"""Written after it has been."""
MEDIA = {
    ".jsonl": "application/jsonlines",
    ".json": "application/json",
    ".csv": "text/csv",
    ".parquet": "application/x-parquet",
    ".md": "text/markdown",
    ".html": "text/html",
    ".pdf": "application/pdf",
    ".yaml": "application/yaml",
    ".cff": "application/yaml",
}
TYPES: dict[Kind, str] = {
    "binary": "sc:Boolean",
    "int": "sc:Integer",
    "float": "sc:Float",
    "datetime": "sc:DateTime",
}
"""Of all others: sc:Text."""
CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}


def of(facts: Facts) -> dict[str, Any]:
    licences = [terms.address_of(facts.said(k)) for k in ("human_licence", "model_licence")]
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": [
            "http://mlcommons.org/croissant/1.0",
            "http://mlcommons.org/croissant/RAI/1.0",
        ],
        "name": facts.release.study.slug,
        "description": description(facts),
        "version": f"{facts.version}.0",  # three numbers are asked for
        "datePublished": facts.date,
        "license": licences,
        "url": address(facts),
        "citeAs": citation.line(facts),
        "creator": [{"@type": "sc:Organization", "name": name} for name in citation.names(facts)],
        "isLiveDataset": False,
        **responsible(facts),
        "distribution": [file_object(path, facts.folder) for path in files(facts.folder)],
        "recordSet": [record_set(name, table, facts.book) for name, table in facts.tables()],
    }


def description(facts: Facts) -> str:
    return (
        f"{facts.title}, release {facts.version}: human preferences over live conversations with "
        f"{len(facts.models)} language models, by {facts.people} people whom a survey describes."
    )


def address(facts: Facts) -> str:
    if doi := facts.said("doi"):
        return f"https://doi.org/{citation.bare(doi)}"
    return f"urn:refract:{facts.release.study.slug}:{facts.version}"


def responsible(facts: Facts) -> dict[str, Any]:
    """Croissant's vocabulary for responsible AI, out of the data statement."""
    sections = {section.code: section for section in datasheet.SECTIONS}

    def said(*codes: str) -> str:
        parts = [
            part
            for code in codes
            for part in (
                *sections[code].facts(facts),
                datasheet.answer(facts, sections[code]),
            )
        ]
        return "\n\n".join(parts)

    found: dict[str, Any] = {
        "rai:dataCollection": said("curation", "situation"),
        "rai:dataCollectionType": ["Surveys", "Direct measurement"],
        "rai:dataCollectionMissingData": said("quality"),
        "rai:dataBiases": said("speakers"),
        "rai:dataLimitations": said("limits"),
        "rai:dataSocialImpact": said("ethics"),
        "rai:dataUseCases": (
            "Research and teaching on how different people use and judge language models; "
            "developing and evaluating such models, within the licences."
        ),
        "rai:dataAnnotationProtocol": (
            "Participants rated every reply in their own conversations on a scale from 1 to 100, "
            "and then attributes of the replies, as protocol and instrument in the release say."
        ),
        "rai:annotatorDemographics": said("annotators"),
        "rai:dataReleaseMaintenancePlan": (
            "Editions are frozen. A patch takes out people who withdraw, with unchanged ids; "
            f"tombstones.json names the ids. Problems: {facts.report_to}"
        ),
        "rai:personalSensitiveInformation": sensitive(facts),
    }
    if facts.began:
        found["rai:dataCollectionTimeframe"] = [facts.began, facts.ended]
    return found


def sensitive(facts: Facts) -> list[str]:
    kinds = ("gender", "age", "religion", "ethnicity", "location", "education", "marital_status")
    asked = facts.book.survey.key_order
    return [kind.replace("_", " ").capitalize() for kind in kinds if kind in asked]


def files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name not in OWN:
            yield path


def file_object(path: Path, folder: Path) -> dict[str, Any]:
    name = path.relative_to(folder).as_posix()
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return {
        "@type": "cr:FileObject",
        "@id": name,
        "name": name,
        "contentUrl": name,
        "contentSize": f"{path.stat().st_size} B",
        "encodingFormat": MEDIA.get(path.suffix, "text/plain"),
        "sha256": sha256,
    }


def record_set(name: str, table: Table, book: Codebook) -> dict[str, Any]:
    """Dicts with keys of their own in every row can't be described, and are left out."""
    stem = name.removesuffix(".jsonl")
    told = [column for column in table.columns if column.kind not in FREE]
    return {
        "@type": "cr:RecordSet",
        "@id": stem,
        "name": stem,
        "field": [field(column, book, name, f"{stem}/{column.key}") for column in told],
    }


def field(
    column: Column, book: Codebook, name: str, id_: str, path: tuple[str, ...] = ()
) -> dict[str, Any]:
    """path: from a column of the file to a part of it, key by key."""
    found: dict[str, Any] = {
        "@type": "cr:Field",
        "@id": id_,
        "name": id_,
        "description": column.label,
    }
    parts = items_of(book) if column.kind == "history" else column.keys
    steps = (*path, column.key)
    if parts:
        found["subField"] = [field(part, book, name, f"{id_}/{part.key}", steps) for part in parts]
    else:
        found["dataType"] = TYPES.get(column.kind, "sc:Text")
        found["source"] = {"fileObject": {"@id": name}, "extract": {"column": steps[0]}}
        if steps[1:]:
            within = ".".join(f"'{key}'" for key in steps[1:])
            found["source"]["transform"] = {"jsonPath": within}
    if column.kind in ("history", "list", "list of dicts"):
        found["repeated"] = True
    return found
