"""How to cite a release: CITATION.cff (form 1.2.0), and in one line."""

from typing import Any

import yaml

from collection.dossier.facts import Facts


def authors(facts: Facts) -> list[dict[str, str]]:
    """Of each line "Family, Given"; a line without a comma is a group. Else the study's contact."""
    lines = [line.strip() for line in facts.said("authors").splitlines() if line.strip()]
    if not lines:
        return [{"name": facts.release.study.contact_name}]
    found = []
    for line in lines:
        family, comma, given = (part.strip() for part in line.partition(","))
        found.append(
            {"family-names": family, "given-names": given} if comma and given else {"name": family}
        )
    return found


def names(facts: Facts) -> list[str]:
    return [
        author.get("name") or f"{author['given-names']} {author['family-names']}"
        for author in authors(facts)
    ]


def text(facts: Facts) -> str:
    content: dict[str, Any] = {
        "cff-version": "1.2.0",
        "message": "If you use these data, please cite them as below.",
        "type": "dataset",
        "title": facts.title,
        "version": facts.version,
        "date-released": facts.date,
        "authors": authors(facts),
        "license": list(dict.fromkeys([facts.said("human_licence"), facts.said("model_licence")])),
    }
    if doi := facts.said("doi"):
        content["doi"] = bare(doi)
    written: str = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100)
    return written


def bare(doi: str) -> str:
    return doi.removeprefix("https://doi.org/").removeprefix("doi:")


def line(facts: Facts) -> str:
    year = facts.date[:4]
    doi = f" https://doi.org/{bare(facts.said('doi'))}" if facts.said("doi") else ""
    return f"{'; '.join(names(facts))} ({year}). {facts.title} (version {facts.version}).{doi}"
