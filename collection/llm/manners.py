"""What the demo models say: sentences of a manner, around the words of the prompt.

Nothing is understood here. A prompt is sorted into a kind by its words, a phrase of it becomes
the topic, and the texts of demo_manners.yaml are put together from a seed.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import yaml

TEXTS = Path(__file__).with_name("demo_manners.yaml")
NO_TOPIC = "this"
RUN_AT_MOST = 3
"""Words in a topic, without its article."""
TOPIC_CHARACTERS = 60
SHORT = 25
"""A longer prompt, in words, opens a subject of its own."""

ALWAYS = {
    "identity": r"\b((who|what) (are|made|built) you|which (model|ai|bot)|your (name|maker)|"
    r"are you (an? )?(ai|bot|robot|human|real|person))\b",
    "greet": r"^\W*(hi|hello|hey|good (morning|afternoon|evening))\b(\W+there)?\W*$",
}
FOLLOWING = {
    "example": r"\b(example|instance)s?\b",
    "brief": r"\b(shorter|short|brief\w*|summar\w+|simpler)\b",
    "other": r"\b(other side|disagree|not sure|don['’]t agree|not agree|wrong|not true)\b|^no\b",
    "source": r"\b(how do you know|are you sure|sources?|evidence|prove)\b",
    "step": r"\b((first|next) (step|thing)|where (do|should|would) i (start|begin))\b",
    "why": r"\b(why|how come|reasons?)\b",
    "thanks": r"\b(thanks?|cheers|bye|goodbye)\b",
    "more": r"\b(more|else|elaborate|go on|continue|details?)\b",
}
"""Looked for only once a conversation is under way."""
OPENING = {
    "do": r"\b(how (to|(do|can|could|would|should) (i|you|we|one))|help|tips?|ideas?|advi[sc]e|"
    r"recommend|suggest\w*|plan|write|make|recipe|learn|improve|where do i|"
    r"what should (i|we|an?)|need|want to)\b",
    "view": r"^(is|are|was|were|does|did)\b|\b(think|opinion|believe|should|right|wrong|fair|"
    r"agree|argu\w+|moral\w*|ethic\w*|justif\w+|against|debate|government|compromise|view)\b",
    "know": r"\?|\b(tell|explain|describe|what|who|when|where|why|how)\b",
}
SOCIAL = {"identity", "greet", "thanks"}
"""Kinds that a manner answers without its ornaments."""

MAKERS = re.compile(
    r"(chat)?gpt|openai|claude|anthropic|gemini|google|bard\b|llama|meta\b|mistral|mixtral|cohere|"
    r"copilot|microsoft|deepseek|qwen|alibaba|grok|xai\b|alexa\b|amazon|siri\b|apple\b|falcon|"
    r"huggingface|perplexity|nvidia|aleph"
)
"""Words that would make a reply name a model or a company if they became its topic."""

ADVERB = re.compile(r"\w{5,}ly")
ABOUT = re.compile(r"\babout (?!\d)")
WORD = re.compile(r"[^\W_]+(?:['-][^\W_]+)*")
CLAUSE = re.compile(r"[.,;:!?<>()\[\]\"“”\n/]+")
ARTICLES = {"a": "a", "an": "an", "the": "the", "my": "your", "our": "your", "your": "your"}


@dataclass(frozen=True)
class Heard:
    """What a manner needs to know of a conversation."""

    kind: str
    topic: str
    turn: int


def speak(manner: str, messages: list[dict[str, str]], rng: Random) -> str:
    """A reply in this manner to the last user message."""
    texts = load()["manners"][manner]
    heard = listen([m["content"] for m in messages if m["role"] == "user"])
    if rng.random() < texts.get("refuses", {}).get(heard.kind, 0):
        return fill(rng.choice(texts["refusals"]), heard.topic)
    first, sentences = opening(texts, heard, rng), body(texts, heard, rng)
    if heard.kind in SOCIAL:
        return arrange("verse" if texts["layout"] == "verse" else "prose", first, sentences, [])
    return arrange(texts["layout"], first, sentences, closing(texts, rng))


def fails(manner: str, rng: Random) -> bool:
    chance: float = load()["manners"][manner].get("fails", 0)
    return rng.random() < chance


def seconds(manner: str, rng: Random) -> float:
    return rng.uniform(*load()["manners"][manner]["seconds"])


def names() -> set[str]:
    return set(load()["manners"])


@cache
def load() -> dict[str, Any]:
    texts: dict[str, Any] = yaml.safe_load(TEXTS.read_text())
    return texts | {"unspoken": set(texts["unspoken"].split())}


def listen(prompts: list[str]) -> Heard:
    """The kind and the topic of the last prompt; a topic already under way if it has none."""
    turn = max(0, len(prompts) - 1)
    kind = kind_of(prompts[-1] if prompts else "", is_under_way=turn > 0)
    topics = (topic_of(prompt) for prompt in reversed(prompts))
    return Heard(kind, next(filter(None, topics), NO_TOPIC), turn)


def kind_of(prompt: str, *, is_under_way: bool) -> str:
    said = prompt.lower().strip()
    if is_under_way and re.search(r"\b(what|how) about\b", said):
        return "do"
    may_follow = is_under_way and len(said.split()) < SHORT
    patterns = ALWAYS | (FOLLOWING if may_follow else {}) | OPENING
    return next((kind for kind, words in patterns.items() if re.search(words, said)), "talk")


def topic_of(prompt: str) -> str:
    """The phrase that a prompt seems to be about, or an empty text."""
    said = prompt.lower().replace("’", "'")
    named = next(runs(ABOUT.split(said, 1)[1]), []) if ABOUT.search(said) else []
    phrase = " ".join(named or weightiest(list(runs(said))))
    return phrase if len(phrase) <= TOPIC_CHARACTERS else ""


def weightiest(found: list[list[str]]) -> list[str]:
    """The run whose words come most often in all; the longer of two such."""
    often = Counter(word for run in found for word in run if is_content(word))
    return max(found, key=lambda run: (sum(often[w] for w in run), len("".join(run))), default=[])


def runs(text: str) -> Iterator[list[str]]:
    """Words in a row that carry meaning, with the article before them and what `of` links."""
    for clause in CLAUSE.split(text):
        run: list[str] = []
        before = ""
        for word in [*WORD.findall(clause), ""]:
            if is_content(word) and sum(map(is_content, run)) < RUN_AT_MOST:
                run = run or ([ARTICLES[before]] if before in ARTICLES else [])
                run.append(word)
            elif word == "of" and run and before != "of":
                run.append(word)
            elif run:
                yield run[:-1] if run[-1] == "of" else run
                run = []
            before = word


def is_content(word: str) -> bool:
    if word in load()["unspoken"] or word.isdigit() or MAKERS.match(word):
        return False
    return len(word) > 1 and not ADVERB.fullmatch(word)


def opening(texts: dict[str, Any], heard: Heard, rng: Random) -> list[str]:
    """The first words. Once a conversation is under way they answer before they introduce."""
    first = [rng.choice(texts["again"])] if heard.turn and heard.kind not in SOCIAL else []
    if heard.kind in texts:
        return [*first, fill(rng.choice(texts[heard.kind]["open"]), heard.topic)]
    return first if heard.turn else [rng.choice(texts["meet"])]


def body(texts: dict[str, Any], heard: Heard, rng: Random) -> list[str]:
    """Sentences in the order of their bank, which is a sensible one."""
    bank = texts[heard.kind]["body"] if heard.kind in texts else load()["common"][heard.kind]
    least, most = texts.get("later", texts["sentences"]) if heard.turn else texts["sentences"]
    drawn = rng.sample(range(len(bank)), min(len(bank), rng.randint(least, most)))
    return [fill(bank[index], heard.topic) for index in sorted(drawn)]


def closing(texts: dict[str, Any], rng: Random) -> list[str]:
    """An asker's questions; from others a last sentence two times in three."""
    if "questions" in texts:
        return rng.sample(texts["questions"], 2)
    return rng.sample(texts["close"], 1) if texts["close"] and rng.randrange(3) else []


def arrange(layout: str, first: list[str], sentences: list[str], last: list[str]) -> str:
    if layout == "list":
        items = [f"{number}. {sentence}" for number, sentence in enumerate(sentences, 1)]
        return "\n".join([" ".join(first), *items])
    if layout == "verse":
        return "\n".join([*first, *sentences]).rstrip(",.") + "."
    return " ".join([*first, *sentences, *last])


def fill(text: str, topic: str) -> str:
    return text.replace("{topic}", topic).replace("{Topic}", topic[:1].upper() + topic[1:])
