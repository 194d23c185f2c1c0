"""Terms of use and licences: after PRISM's data clause (App. C of its paper), in our own words."""

from collection.dossier.facts import Facts

LICENCES = {
    "CC-BY-4.0": (
        "Creative Commons Attribution 4.0 International",
        "https://creativecommons.org/licenses/by/4.0/",
    ),
    "CC-BY-NC-4.0": (
        "Creative Commons Attribution-NonCommercial 4.0 International",
        "https://creativecommons.org/licenses/by-nc/4.0/",
    ),
    "CC-BY-SA-4.0": (
        "Creative Commons Attribution-ShareAlike 4.0 International",
        "https://creativecommons.org/licenses/by-sa/4.0/",
    ),
    "CC0-1.0": (
        "Creative Commons Zero 1.0 Universal",
        "https://creativecommons.org/publicdomain/zero/1.0/",
    ),
    "ODC-By-1.0": (
        "Open Data Commons Attribution 1.0",
        "https://opendatacommons.org/licenses/by/1-0/",
    ),
}
"""SPDX identifier -> (name, address)."""


def address_of(licence: str) -> str:
    """Of an identifier that we don't know: SPDX's own page."""
    return LICENCES.get(licence, ("", f"https://spdx.org/licenses/{licence}.html"))[1]


def in_words(licence: str) -> str:
    name = LICENCES.get(licence, (licence, ""))[0]
    return f"[{name} ({licence})]({address_of(licence)})"


def licences(facts: Facts) -> str:
    return f"""# Licences

Texts written by people, and all else that they told or did:
{in_words(facts.said("human_licence"))}.

Texts written by models (`model_response`, and the replies in `conversation_history`):
{in_words(facts.said("model_licence"))}. Their use is also subject to the terms of each model's
provider: `models.jsonl` names the models and their pages.

The wording of the PRISM questionnaire, where it was used, is by its authors,
{in_words("CC-BY-4.0")}.
"""


def text(facts: Facts) -> str:
    internal = (
        ""
        if facts.release.is_public
        else "\n**This release was made for use inside the study team. Do not pass it on.**\n"
    )
    return f"""# Terms of use

Of {facts.title}, release {facts.version}.
{internal}
**Purpose.** The data are for research and teaching, and may be used to develop and to evaluate
software, language models included, within the licences in `LICENSE.md`.

**No re-identification.** Do not try to find out who somebody in the data is, neither from the data
nor with the help of others, and do not publish what would let others do so. If you come upon
somebody's identity by chance, keep it to yourself and tell us.

**People who withdraw.** `tombstones.json` lists the ids of people who have withdrawn since an
edition was made. Delete their rows from your copies, and use the latest patch of your edition: its
ids are the same.

**Content warning.** These are raw conversations. Some are offensive, distressing or wrong. Filter
and moderate them before you train anything on them.

**No endorsement.** Nothing in the data is the opinion of the researchers, their institutions or
whoever paid for the study.

**Model replies.** Observe the terms of use of each model whose replies you use.

**Liability.** The data come as they are. The researchers and whoever paid for the study are not
liable for what follows from their use.

**Whom to tell.** Personal information that was overlooked, a mistake, a wish to have one's own data
removed: {facts.report_to}. Requests are answered within 30 days.

**Attribution.** Cite the data as `CITATION.cff` says.
"""
