"""The codebook: one definition of each column, the schemas and the document that follow from it."""

import builtins
import json
import math
import re
import shutil
import statistics
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pandas as pd
import pytest
import typst
from bs4 import BeautifulSoup
from django.core.management import CommandError, call_command
from django.db import transaction
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from markdown_it import MarkdownIt
from pytest_django.plugin import DjangoDbBlocker

from collection.export import codebook_document, documents, pdf, schemas, summaries
from collection.export.codebook import Codebook, described
from collection.export.codebook_document import DOCUMENTS, Format, book_of, write_codebook
from collection.export.codebook_markdown import escaped
from collection.export.codebook_view import Count, Line, Pair, chapter
from collection.export.columns import Column, Kind
from collection.export.counting import Binned, Distinct, Moments
from collection.export.merge import Version
from collection.export.pictures import bars
from collection.export.summaries import Summary, gatherer, summarise
from collection.export.validate import validate
from collection.export.write import write_release
from surveys.errors import DomainError
from surveys.instruments.load import FOLDER, read
from tests.export_cast import START, converse, make_cast, make_person, make_study

Row = dict[str, Any]

TEXTS: tuple[Format, ...] = ("html", "md")
TYPED = "Xyzzy plugh, said nobody else."
HOSTILE = "a|b <script>alert(1)</script> `c` [d](e) *f* &amp; --> ![g](h)"


@pytest.fixture(scope="module")
def template(
    django_db_setup: None,
    django_db_blocker: DjangoDbBlocker,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A release of the cast and of somebody who typed strange things, with its codebook."""
    folder = tmp_path_factory.mktemp("release")
    with django_db_blocker.unblock(), transaction.atomic():
        study = make_study()
        make_cast(study)
        answers = {"self_description": {"text": TYPED}, "system_string": {"text": HOSTILE}}
        eve = make_person(study, minute=5, answers=answers, recruitment_id=HOSTILE)
        converse(eve, prompt=TYPED, reply=HOSTILE)
        eve.pages.create(page="primer", shown_at=START)
        found = {"failed": 1, "asked": 2, "places": [{"question": "age"}]}
        eve.quality_runs.create(check_name="attention", version=1, value=1, evidence=found)
        write_release(study, folder)
        transaction.set_rollback(True)
    write_codebook(folder, TEXTS)
    return folder


@pytest.fixture
def folder(template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(template, tmp_path / "release"))


def rows_of(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def faults(folder: Path) -> list[tuple[str, str]]:
    return [(d.file, d.rule) for d in validate(folder) if not d.is_note]


def summary_of(folder: Path, name: str, path: str) -> Summary:
    """path: such as location.birth_country."""
    (found,) = (f for f in summarise(folder, book_of(folder)) if f.table.name == name)
    return next(one for one in flat(found.columns) if one.path == path)


def flat(columns: tuple[Summary, ...]) -> Iterator[Summary]:
    for one in columns:
        yield one
        yield from flat(one.parts)


def test_it_works(folder: Path) -> None:
    assert faults(folder) == []
    first = {name: (folder / name).read_bytes() for name in ("codebook.html", "codebook.md")}
    paths = write_codebook(folder, TEXTS)
    assert [path.name for path in paths] == list(first)
    assert {path.name: path.read_bytes() for path in paths} == first
    page = BeautifulSoup(first["codebook.html"], "html.parser")
    heads = {tag.get_text() for tag in page.select(".column > h3")}
    for table in book_of(folder).tables.values():
        assert set(table.key_order) <= heads
    links = {str(a["href"]).removeprefix("#") for a in page.select("nav a")}
    assert links <= {tag["id"] for tag in page.select("[id]")}
    assert not page.select("script, link, img, iframe")  # it needs nothing but itself


def test_every_column_says_what_it_is() -> None:
    def check(found: Row, where: str) -> None:
        assert found["label"].strip(), where
        assert found["source"].strip(), where
        for part in found.get("keys", []):
            check(part, f"{where}.{found['key']}")

    for file in ("prism.yaml", "values.yaml"):
        instrument = read(FOLDER / file)
        book = Codebook((Version("0" * 64, {}, instrument),))
        for name, columns in described(book, list(book.tables))["files"].items():
            for column in columns:
                check(column, name)
        asked = {column.question for column in book.survey.columns}
        for question in instrument.questions():
            if question.release.form != "none":
                assert any(question.text in text for text in asked)


def test_the_wording_is_the_instruments_own() -> None:
    book = documents.shipped()
    assert book.survey.by_key["gender"].question == "How do you describe yourself?"
    prefs = book.survey.by_key["stated_prefs"]
    assert prefs.question.endswith("\nIt is important that an AI language model...")
    assert "“Strongly Disagree” (0) to “Strongly Agree” (100)" in prefs.notes
    assert "Asked only if lm_indirect_use is yes, or lm_direct_use is yes." in (
        book.survey.by_key["lm_frequency_use"].notes
    )
    assert book.utterances.by_key["score"].question.startswith("Rate the model responses.")
    assert book.conversations.by_key["choice_attributes"].question.startswith("Tell us why")


# Schemas


def test_schemas_accept_the_release_and_nothing_else(folder: Path) -> None:
    book = book_of(folder)
    found = sorted(path.name for path in (folder / "schemas").iterdir())
    assert found == sorted(f"{p.stem}.schema.json" for p in folder.glob("*.jsonl"))
    for path in folder.glob("*.jsonl"):
        schema = json.loads((folder / "schemas" / f"{path.stem}.schema.json").read_text())
        Draft202012Validator.check_schema(schema)
        validator = Draft202012Validator(schema)
        rows = rows_of(path)
        assert [error.message for row in rows for error in validator.iter_errors(row)] == []
        for column in book.tables[path.stem].columns:
            without = {key: value for key, value in rows[0].items() if key != column.key}
            assert not validator.is_valid(without)
            assert not validator.is_valid(rows[0] | {column.key: [{"no": {"such": []}}]})
            if column.kind != "json":  # which takes any dict
                assert not validator.is_valid(rows[0] | {column.key: {"no": {"such": []}}})
            if not column.nullable:
                assert not validator.is_valid(rows[0] | {column.key: None})
        assert not validator.is_valid(rows[0] | {"surprise": 1})


@pytest.mark.parametrize("kind", get_args(Kind))
def test_every_kind_of_column_has_a_schema_and_statistics(kind: Kind) -> None:
    book = documents.shipped()
    column = Column("x", kind, "meta", "X", digits=10, prefix="x")
    assert schemas.column_schema(column, book)["type"]
    gathering = gatherer(column, "x", book)
    gathering.add([None, 3.5, "x", True, [[]], {"a": []}, 2**70, -math.inf])
    assert gathering.summary().missing >= 1


def test_another_schema_is_found(folder: Path) -> None:
    path = folder / "schemas" / "survey.schema.json"
    path.write_text(path.read_text().replace("Age", "Rage"))
    assert faults(folder) == [("schemas/survey.schema.json", "schema")]
    path.write_text("{")
    assert faults(folder) == [("schemas/survey.schema.json", "schema")]


# Statistics, against pandas


@pytest.mark.parametrize("size", [3, 2_000])
def test_statistics_are_those_of_pandas(
    folder: Path, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """size: rows read at once."""
    monkeypatch.setattr(summaries, "BATCH_ROWS", size)
    compared = set()
    for found in summarise(folder, book_of(folder)):
        frame = pd.DataFrame(rows_of(found.path), dtype=object)
        assert found.rows == len(frame)
        for summary in found.columns:
            compared |= compare(summary, frame[summary.column.key])
    assert {"int", "float", "string", "categorical", "binary", "datetime", "string id"} <= compared


def compare(summary: Summary, series: Any) -> set[str]:
    kind = summary.column.kind
    if kind == "dict":
        dicts = series.dropna()
        if summary.unique is not None:
            assert summary.unique == dicts.map(str).nunique()
        found: set[str] = {kind}
        for part in summary.parts:
            found |= compare(part, dicts.map(lambda value, key=part.column.key: value[key]))
        return found
    known = series.dropna()
    assert (summary.rows, summary.missing, summary.unfit) == (len(series), series.isna().sum(), 0)
    if kind in ("string", "int", "float"):
        numbers = (known.map(len) if kind == "string" else known).astype(float)
        if len(known):
            assert summary.numbers is not None and summary.bins is not None
            assert summary.numbers.mean == pytest.approx(numbers.mean())
            assert (summary.numbers.low, summary.numbers.high) == (numbers.min(), numbers.max())
            assert sum(summary.bins.counts.values()) == len(known)
            if len(known) > 1:
                assert summary.numbers.sd == pytest.approx(numbers.std())
    if kind in ("categorical", "binary"):
        assert summary.counts is not None
        assert summary.counts == known.value_counts().to_dict()
        assert sorted(summary.counts.values(), reverse=True) == list(summary.counts.values())
    if kind in ("datetime", "date"):
        assert (summary.first, summary.last) == (known.min(), known.max())
    uncounted = ("json", "list of dicts", "dict by question", "dict by utterance")
    if kind not in ("history", "list", "parameters", *uncounted):
        assert summary.unique == known.nunique()
    return {kind}


def test_a_dict_is_missing_where_a_key_is(folder: Path) -> None:
    """PRISM's rule; one's own option, and what was typed for it, may be null all the same."""
    prefs = summary_of(folder, "survey", "stated_prefs")
    usecases = summary_of(folder, "survey", "lm_usecases")
    assert (prefs.rows, prefs.missing) == (5, 0)
    assert usecases.missing == 1  # bob, who never used a model
    assert summary_of(folder, "conversations", "performance_attributes").missing == 14


def test_messages_and_responses_are_told_apart(folder: Path) -> None:
    items = [
        i for row in rows_of(folder / "conversations.jsonl") for i in row["conversation_history"]
    ]
    for role in ("user", "model"):
        found = summary_of(folder, "conversations", f"conversation_history[{role}].content")
        lengths = [len(item["content"]) for item in items if item["role"] == role]
        assert found.numbers is not None
        assert (found.rows, found.numbers.high) == (len(lengths), max(lengths))


NUMBERS = st.lists(st.floats(-1e9, 1e9), min_size=2, max_size=200)


@given(NUMBERS, st.integers(1, 50))
def test_moments_do_not_depend_on_batches(numbers: list[float], size: int) -> None:
    moments = Moments()
    for start in range(0, len(numbers), size):
        moments.add(numbers[start : start + size])
    found = moments.numbers()
    assert found is not None and found.sd is not None
    assert found.mean == pytest.approx(statistics.fmean(numbers), abs=1e-3)
    assert found.sd == pytest.approx(statistics.stdev(numbers), rel=1e-6, abs=1e-3)


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=3_000), st.randoms())
def test_bins_do_not_depend_on_the_order_of_values(numbers: list[int], random: Any) -> None:
    one, other = Binned(), Binned()
    one.add(numbers)
    random.shuffle(numbers)
    for number in numbers:
        other.add([number])
    assert one.bins() == other.bins()
    found = one.bins()
    assert found is not None
    assert sum(bars(found).counts) == len(numbers)


def test_a_hundred_thousand_texts_are_told_apart() -> None:
    distinct = Distinct()
    for _twice in range(2):
        for start in range(0, 100_000, 10_000):
            distinct.add(f"text {n}" for n in range(start, start + 10_000))
    assert distinct.count() == 100_000


def test_scores_have_bars_of_four() -> None:
    binned = Binned()
    binned.add([1, 4, 5, 100])
    found = binned.bins()
    assert found is not None
    drawn = bars(found, (1, 100))
    assert (len(drawn.counts), drawn.counts[:2], drawn.counts[-1]) == (25, (2, 1), 1)


def test_what_lies_far_out_is_one_bar() -> None:
    binned = Binned()
    binned.add([*range(1_000), 1_000_000])
    found = binned.bins()
    assert found is not None
    drawn = bars(found)
    assert drawn.tail
    assert drawn.counts[-1] == 5  # half a percent
    assert sum(drawn.counts) == 1_001


# The document and the data


def test_an_edited_document_is_found(folder: Path) -> None:
    for name in ("codebook.html", "codebook.md"):
        path = folder / name
        path.write_text(path.read_text().replace("100.0 %", "99.9 %", 1))
    assert faults(folder) == [("codebook.html", "document"), ("codebook.md", "document")]


def test_other_data_are_found(folder: Path) -> None:
    path = folder / "utterances.jsonl"
    path.write_text(path.read_text().replace("Lentil", "Barley", 1))
    assert ("codebook.html", "document") in faults(folder)
    message = next(d.message for d in validate(folder) if d.file == "codebook.html")
    assert message == "describes another utterances.jsonl of 75 rows than the one here"
    write_codebook(folder, TEXTS)
    assert "codebook.html" not in {file for file, _rule in faults(folder)}


@pytest.mark.parametrize("ending", [b"", b"<!-- refract-codebook {] -->\n", b"\xff\n"])
def test_a_document_that_does_not_say_what_it_describes_is_found(
    folder: Path, ending: bytes
) -> None:
    path = folder / "codebook.html"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]) + ending)
    assert faults(folder) == [("codebook.html", "document")]


def test_a_new_release_does_not_keep_the_old_ones_codebook(
    folder: Path, db: None, capsys: pytest.CaptureFixture[str]
) -> None:
    make_person(make_study())
    call_command("export", "prism", "--out", str(folder))
    assert not any((folder / name).exists() for name in DOCUMENTS.values())
    assert faults(folder) == []


# What must not get in


def test_nothing_that_people_typed_is_in_it(folder: Path) -> None:
    for name in ("codebook.html", "codebook.md"):
        text = (folder / name).read_text()
        assert "Xyzzy" not in text
        assert "Lentil" not in text
        assert "complicated" not in text  # a religion, in one's own words


def test_values_of_no_list_are_counted_but_not_shown(folder: Path) -> None:
    path = folder / "survey.jsonl"
    path.write_text(path.read_text().replace('"Male"', '"my neighbour Ada"'))
    assert summary_of(folder, "survey", "gender").unfit == 3
    write_codebook(folder, TEXTS)
    assert "Ada" not in (folder / "codebook.html").read_text()
    assert "Not of its type or values" in (folder / "codebook.html").read_text()


def test_hostile_texts_stay_texts(folder: Path) -> None:
    """The id of a recruitment is released, and whoever writes the link decides what it is."""
    raw = (folder / "codebook.html").read_text()
    page = BeautifulSoup(raw, "html.parser")
    assert HOSTILE in [tag.get_text() for tag in page.select("#survey-study-id .counts th")]
    assert "<script" not in raw
    shown = MarkdownIt("commonmark").enable("table").render((folder / "codebook.md").read_text())
    page = BeautifulSoup(shown, "html.parser")
    assert HOSTILE in [tag.get_text() for tag in page.select("td")]
    assert not page.select("script, img, td a[href=e]")
    for table in page.select("table"):
        assert len({len(row.select("th, td")) for row in table.select("tr")}) == 1


@given(st.text(min_size=1))
def test_escaped_markdown_is_the_text_itself(text: str) -> None:
    cell = escaped(text)
    shown = MarkdownIt("commonmark").enable("table").render(f"| a |\n| - |\n| {cell} |\n")
    found = [td.get_text() for td in BeautifulSoup(shown, "html.parser").select("td")]
    assert [" ".join(one.split()) for one in found] == [
        " ".join(text.replace("\0", "\ufffd").split())
    ]


# PDF


@pytest.fixture
def small(tmp_path: Path, folder: Path) -> Path:
    """A folder with models.jsonl alone: a page is enough to look at."""
    kept = tmp_path / "small"
    kept.mkdir()
    for name in ("models.jsonl", "instrument.json"):
        shutil.copy(folder / name, kept / name)
    return kept


def test_a_pdf_is_the_same_each_time_and_sealed(small: Path) -> None:
    (path,) = write_codebook(small, ["pdf"])
    once = path.read_bytes()
    assert once.startswith(b"%PDF-")
    for part in (b"/StructTreeRoot", b"/Outlines", b"/Lang", b"/Title"):
        assert part in once
    write_codebook(small, ["pdf"])
    assert path.read_bytes() == once
    assert list(codebook_document.deviations(small)) == []
    path.write_bytes(once.replace(b"%PDF-1", b"%PDF-2"))
    assert [d.rule for d in codebook_document.deviations(small)] == ["document"]


def pdf_data(folder: Path) -> dict[str, Any]:
    book = book_of(folder)
    found = list(summarise(folder, book))
    chapters = [chapter(one, "0" * 64) for one in found]
    return {"front": codebook_document.front_of(folder, book, found), "chapters": chapters}


def in_pdf(data: dict[str, Any], what: str) -> Any:
    """Elements of the document, as Typst tells them. what: such as heading.where(level: 2)."""
    inputs = {"data": pdf.as_json(data)}
    template = pdf.TEMPLATE.read_bytes()
    return json.loads(typst.query(template, what, sys_inputs=inputs, ignore_system_fonts=True))


def test_every_column_is_in_the_pdf(folder: Path) -> None:
    data = pdf_data(folder)
    heads = [found["body"]["text"] for found in in_pdf(data, "heading.where(level: 2)")]
    assert heads == [entry.key for one in data["chapters"] for entry in one.entries]
    pictures = [found["alt"] for found in in_pdf(data, "figure")]
    assert "Distribution from 1 to 100" in pictures
    (stated,) = (e for e in data["chapters"][0].entries if e.key == "stated_prefs")
    quoted = json.dumps(in_pdf(data, "quote"), ensure_ascii=False)
    assert all(line in quoted for line in stated.question)
    typst.compile(  # says what readers for the blind would miss
        pdf.TEMPLATE.read_bytes(), sys_inputs={"data": pdf.as_json(data)}, pdf_standards="ua-1"
    )


TYPST_MARKUP = (
    '#panic() $x$ @survey *a* _b_ <c> `d` \\ // /* = e #read("/etc/hostname") ] } " \\u{41}'
)
ODD = "".join(map(chr, range(32))) + "\x7f\x85\u2028\u2029\u202e\ud800\ufffe\U0001f600\U0010ffff"


@pytest.mark.parametrize("text", [TYPST_MARKUP, ODD, "long" * 300, "many words " * 300])
def test_no_text_is_markup_to_typst(small: Path, text: str) -> None:
    data = pdf_data(small)
    (models,) = data["chapters"]
    line = Line(text, text + "!", "0", "1", "1", "1", "1", "1", "characters", None)
    pair = Pair(text, text + "!", "1", "100.0 %", "0", "0", 1)
    count = Count(text, "1", "100.0 %", 1)
    entry = replace(
        models.entries[0],
        key=text,
        label=text,
        question=(text, text),
        notes=text,
        source=text,
        counts=(count,) * 30,
        lines=(line,) * 8,
        pairs=(pair,) * 8,
    )
    data["chapters"] = [
        replace(models, one_row=text, entries=(entry, replace(entry, entries=(entry,))))
    ]
    data["front"] = replace(
        data["front"],
        title=text,
        software=text,
        notices=(text,),
        attributions=(text,),
        instruments=((text, "0"),),
    )
    assert pdf.made(data).startswith(b"%PDF-")
    (part,) = in_pdf(data, "heading.where(level: 3)")
    shown = part["body"]["text"].replace("\u200b", "")
    assert shown == text.encode("utf-8", "replace").decode()


def test_the_pdf_reads_no_file(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in ("/etc/hostname", str(pdf.TEMPLATE), "manage.py", "../manage.py"):
        template = tmp_path / "curious.typ"
        template.write_text(f"#read({json.dumps(path)})")
        monkeypatch.setattr(pdf, "TEMPLATE", template)
        with pytest.raises(typst.TypstError, match=r"file not found|escape"):
            pdf.made(pdf_data(small))


def test_without_what_a_pdf_needs_the_rest_is_written(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "typst":
            raise ImportError("no")
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    assert not pdf.is_possible()
    assert [path.name for path in write_codebook(small)] == ["codebook.html", "codebook.md"]
    with pytest.raises(CommandError, match=re.escape("pip install 'refract[pdf]'")):
        call_command("codebook", str(small), "--format", "pdf")


# The command


def test_the_command_says_what_it_wrote(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("codebook", str(small), "--format", "md")
    assert capsys.readouterr().out == f"{small / 'codebook.md'}\n"


def test_a_folder_without_a_release_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="no files of a release"):
        call_command("codebook", str(tmp_path), "--format", "md")
    (tmp_path / "instrument.json").write_text("{}")
    with pytest.raises(DomainError, match="cannot be used"):
        write_codebook(tmp_path, TEXTS)


def test_lines_that_hold_no_row_are_named(folder: Path) -> None:
    with (folder / "survey.jsonl").open("a") as file:
        file.write("nonsense\n[1]\n")
    write_codebook(folder, TEXTS)
    page = BeautifulSoup((folder / "codebook.html").read_text(), "html.parser")
    assert "2 lines of survey.jsonl hold no row" in page.select_one(".front").get_text()  # type: ignore[union-attr]


def test_export_describes_the_release_if_asked(db: None, tmp_path: Path) -> None:
    make_person(make_study())
    write_codebook_of = ["html", "md"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(codebook_document, "possible", lambda: tuple(write_codebook_of))
        call_command("export", "prism", "--out", str(tmp_path), "--codebook")
    assert (tmp_path / "codebook.html").exists()
    assert faults(tmp_path) == []
