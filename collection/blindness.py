"""Where a reply says which model it is, or who made it: "As Claude, I …", "trained by OpenAI".

Only the first person counts: a reply may well be about a company, a painter or a zodiac sign.
Precision comes before recall: a mark tells the researcher that a reader could know. Of English,
Spanish, French, German and Portuguese the common forms are known.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

MODELS = (
    "ChatGPT",
    "GPT",
    "InstructGPT",
    "DaVinci",
    "BLOOM",
    "BLOOMZ",
    "ChatGLM",
    "Claude",
    "Claude Instant",
    "Llama",
    "Codex",
    "Command R",
    "Copilot",
    "DeepSeek",
    "ERNIE Bot",
    "Flan-T5",
    "Gemini",
    "Gemma",
    "Google Bard",
    "Bard",
    "Grok",
    "Guanaco",
    "HuggingChat",
    "Hunyuan",
    "Jurassic",
    "Kimi",
    "Koala",
    "LaMDA",
    "LLaMA",
    "Le Chat",
    "Luminous",
    "MPT",
    "Meta AI",
    "Mistral",
    "Mixtral",
    "Nemotron",
    "OLMo",
    "OPT",
    "Oasst",
    "OpenAssistant",
    "Open Assistant",
    "OpenHermes",
    "PaLM",
    "Phi",
    "Pi",
    "Qwen",
    "Alpaca",
    "Falcon",
    "Dolly",
    "StableLM",
    "Tulu",
    "Tülu",
    "Tongyi Qianwen",
    "Vicuna",
    "WizardLM",
    "Yi",
    "Zephyr",
    "Bing Chat",
    "Bing",
    "Siri",
    "Alexa",
)
"""Models and their families, as they call themselves."""

MAKERS = (
    "01.AI",
    "AI21",
    "AI21 Labs",
    "Adept",
    "Aleph Alpha",
    "Alibaba",
    "Alibaba Cloud",
    "Allen Institute for AI",
    "Ai2",
    "Amazon",
    "Anthropic",
    "Apple",
    "Baidu",
    "BigScience",
    "ByteDance",
    "Cohere",
    "DeepMind",
    "DeepSeek",
    "EleutherAI",
    "Facebook",
    "Google",
    "Google AI",
    "Google DeepMind",
    "HuggingFace",
    "Hugging Face",
    "IBM",
    "Inflection",
    "Inflection AI",
    "LAION",
    "LMSYS",
    "Meta",
    "Meta AI",
    "Microsoft",
    "Mistral",
    "Mistral AI",
    "Moonshot AI",
    "MosaicML",
    "Nous Research",
    "NVIDIA",
    "OpenAI",
    "Perplexity",
    "Salesforce",
    "Stability AI",
    "Technology Innovation Institute",
    "Tencent",
    "TII",
    "Together AI",
    "xAI",
    "Zhipu AI",
)
"""Who makes models or serves them."""

COINED = re.compile(
    r"(?:(?:chat|instruct)?gpt\b|bloomz|chatglm|deepseek|flan-t5|huggingchat|hunyuan|mixtral|"
    r"open ?assistant|openhermes|olmo|qwen|stablelm|tongyi|vicuna|wizardlm|claude instant|"
    r"google bard|meta ai|ernie bot|openai|anthropic|.*\d).*",
    re.IGNORECASE,
)
"""Names of nothing else; others are people's, animals', stars' or words too. A version makes
any name one of these."""

TOO_COMMON = {"ai", "assistant", "bot", "chat", "chatbot", "demo", "llm", "model", "test"}
"""Not names, even if a study calls a model so."""

VERSION = (
    r"(?:[- ]?v?\d+(?:\.\d+)*\w*(?:-\d+b)?)?"
    r"(?:[- ](?:Opus|Sonnet|Haiku|Instant|Pro|Ultra|Flash|Nano|Turbo|Instruct|Chat|Mini|Large|"
    r"Medium|Small|Plus|R1|V3)\b)*"
)

NAMES_AT_MOST = 200
"""Later ones in a reply are not looked at: a reply of nothing but names must not take seconds."""
BEFORE, AFTER = 240, 120
"""Characters looked at around a name."""
EVIDENCE = 150
"""Characters before and after a name that may be a person's, where a word like "AI" must stand …"""
SHORT = 60
"""… unless it is all that its line says: "I am Claude."."""
OFTEN_SPOKEN_AS = {"Claude", "Gemini", "Grok", "Llama", "Mistral"}
"""Names in "As Claude, I …" that need no such word."""


@dataclass(frozen=True)
class Language:
    """How one introduces oneself in a language. Patterns end where the next part begins."""

    code: str
    am: str
    """Before a name or "an AI"."""
    called: str
    """Before a name only."""
    as_: str
    """Before a name and a comma, or before "an AI"."""
    called_so: str
    """Between "an AI" and its name."""
    noun: str
    """What a model calls itself."""
    made_by: str
    """From the noun to the maker."""
    i_was_made_by: str
    """From the start of the clause to the maker."""
    made_me: str
    """After the maker."""
    this_assistant: str
    makers: str


ENGLISH = Language(
    "en",
    am=r"(?:i am|i'm|i,)(?: (?:actually|just|only|simply|still|indeed|called|named))?",
    called=r"my name(?: is|'s)|(?:you can |please |just )?call me|i go by(?: the name(?: of)?)?|"
    r"(?:you're|you are) (?:talking|chatting|speaking|interacting) (?:to|with)",
    as_=r"as|being",
    called_so=r"(?:called|named|known as)",
    noun=r"(?:AI|A\.I\.|artificial intelligence|LLM|language model|chat ?bot|bot|assistant|model|"
    r"(?:computer )?program|system|agent|transformer|neural network)s?(?: \(\w+\))?"
    r"(?: (?:assistant|model|system|chat ?bot|program|agent|language model))?",
    made_by=r"(?:(?:,? (?:that|which|who) (?:was|is|has been|have been))?"
    r" (?:(?:and )?(?:first |originally |specifically |recently )?(?:developed|created|made|built|"
    r"trained|designed|produced|provided|powered|released|engineered|programmed|fine-tuned),? ?)"
    r"{1,3}(?:by|at)|,? from| by)(?: (?:the team at|a team at|researchers at|engineers at|"
    r"the (?:good )?people at|a company called|the company))?",
    i_was_made_by=r"(?:\bi (?:was|am|have been|had been)|\bi'm|\bi've been)(?: \w+ly)? "
    r"(?:(?:and )?(?:developed|created|made|built|trained|designed|engineered|programmed|"
    r"fine-tuned),? ?){1,3}(?:by|at)(?: (?:the team at|researchers at|engineers at|a company called"
    r"|the company))?|\bmy (?:creators?|makers?|developers?|parent company)"
    r"(?: (?:is|are|at|from)|,)",
    made_me=r"(?:'s (?:team|engineers|researchers|developers))?,?"
    r"(?: (?:the|a) (?:company|team|lab|organi[sz]ation) (?:that|which|who))?(?: has| have)? "
    r"(?:developed|created|made|built|trained|designed|programmed|taught) me\b",
    this_assistant="this assistant",
    makers="my makers",
)
SPANISH = Language(
    "es",
    am=r"(?:yo )?soy",
    called=r"me llamo|mi nombre es|(?:puedes|puede) llamarme",
    as_=r"como",
    called_so=r"(?:llamad[oa]|conocid[oa] como)",
    noun=r"(?:IA|inteligencia artificial|modelo(?: de (?:lenguaje|inteligencia artificial|IA|"
    r"idioma|lengua))?|asistente(?: virtual| de IA| de inteligencia artificial)?|chatbot|bot|"
    r"programa|sistema)(?: (?:de (?:IA|inteligencia artificial)|grande|avanzad[oa]))?",
    made_by=r"(?:,? que (?:fue|ha sido))?(?: (?:y )?(?:desarrollad|cread|entrenad|hech|"
    r"diseñad|construid|programad)[oa],?){1,2} por|,? de",
    i_was_made_by=r"\b(?:fui|he sido|estoy)(?: (?:y )?(?:desarrollad|cread|entrenad|hech|diseñad|"
    r"construid|programad)[oa],?){1,2} por",
    made_me=r" me (?:creó|desarrolló|entrenó|diseñó|hizo|ha (?:creado|desarrollado|entrenado))\b",
    this_assistant="este asistente",
    makers="mis creadores",
)
FRENCH = Language(
    "fr",
    am=r"je suis",
    called=r"je m'appelle|mon nom est|(?:vous pouvez|tu peux) m'appeler",
    as_=r"en tant que?|en tant qu'",
    called_so=r"(?:appelée?|nommée?|connue? sous le nom de)",
    noun=r"(?:IA|intelligence artificielle|(?:grand )?modèle(?: (?:de (?:langage|langue)|"
    r"linguistique|d'IA))?|assistante?(?: virtuell?e?l?)?|chatbot|agent conversationnel|programme|"
    r"système)(?: (?:d'IA|d'intelligence artificielle|linguistique))?",
    made_by=r"(?:,? qui a été)?(?: (?:et )?(?:développé|créé|entraîné|conçu|fabriqué|formé|"
    r"programmé)e?,?){1,2} (?:par|chez)|,? (?:de|d')",
    i_was_made_by=r"\bj'ai été(?: (?:et )?(?:développé|créé|entraîné|conçu|fabriqué|formé|"
    r"programmé)e?,?){1,2} (?:par|chez)",
    made_me=r" m'a (?:développé|créé|entraîné|conçu|formé|programmé)e?\b",
    this_assistant="cet assistant",
    makers="mes créateurs",
)
GERMAN = Language(
    "de",
    am=r"ich bin",
    called=r"ich heiße|mein name ist|(?:du kannst|sie können) mich",
    as_=r"als",
    called_so=r"(?:namens|mit (?:dem )?namen)",
    noun=r"(?:(?:KI|AI)(?:-\w+)?|künstliche Intelligenz|(?:Sprach)?modell|Sprachassistent|"
    r"Assistent(?:in)?|Chatbot|Bot|Programm|System)",
    made_by=r"(?:,? (?:das|der|die))?(?: (?:und )?(?:entwickelt|erstellt|trainiert|geschaffen|"
    r"gebaut|programmiert)(?:e[rsnm]?)?,?){0,2} (?:von|bei)(?: der firma| dem unternehmen)?",
    i_was_made_by=r"\bich (?:wurde|bin) (?:entwickelt|erstellt|trainiert|geschaffen) (?:worden )?"
    r"(?:von|bei)",
    made_me=r" hat mich (?:entwickelt|erstellt|trainiert|geschaffen|gebaut|programmiert)\b",
    this_assistant="dieser Assistent",
    makers="meinen Entwicklern",
)
PORTUGUESE = Language(
    "pt",
    am=r"(?:eu )?sou(?: [oa])?",
    called=r"(?:eu )?(?:me chamo|chamo-me)|(?:o )?meu nome é|(?:você )?pode me chamar de",
    as_=r"como",
    called_so=r"(?:chamad[oa]|conhecid[oa] como)",
    noun=r"(?:IA|inteligência artificial|modelo(?: de (?:linguagem|língua|IA|inteligência "
    r"artificial))?|assistente(?: virtual| de IA| de inteligência artificial)?|chatbot|bot|"
    r"programa|sistema)(?: (?:de (?:IA|inteligência artificial)|grande|avançad[oa]))?",
    made_by=r"(?:,? que foi)?(?: (?:e )?(?:desenvolvid|criad|treinad|feit|projetad|"
    r"programad)[oa],?){1,2} (?:por|pel[oa])|,? d[aoe]",
    i_was_made_by=r"\bfui(?: (?:e )?(?:desenvolvid|criad|treinad|feit|projetad|programad)[oa],?)"
    r"{1,2} (?:por|pel[oa])",
    made_me=r" me (?:criou|desenvolveu|treinou|projetou|programou)\b",
    this_assistant="este assistente",
    makers="meus criadores",
)
LANGUAGES = (ENGLISH, SPANISH, FRENCH, GERMAN, PORTUGUESE)

START = r"(?:^|(?<=[\s*_(¡¿>–—-]))"
CLAUSE = r"(?:^[\W_]*|[,;(–—-] ?|\b(?:that|but|and|so|because|que|y|e|et|und|mais|pero|mas|aber) )"
ARTICLE = (
    r"(?:an?|the|your|un[ae]?|une|le|la|el|ein|eine[rsnm]?|der|die|das|uma?|o|votre|tu|su|seu|sua)"
)
OTHER_THOUGHTS = (
    r"and|or|but|who|that|which|with|for|of|in|on|at|not|no|use|using|fan|user|y|que|qui|et|und|"
    r"mit|für|von|à|como"
)
NP = rf"(?:{ARTICLE} )?(?:(?!(?:{OTHER_THOUGHTS})\b)[\w'-]+,? ){{0,5}}?"
"""Before the noun: no word that begins another thought."""
IN_PASSING = r"(?: [*_]*(?-i:[A-Z])[\w.-]*(?: [\w.-]+){0,3}?[*_]*)"
"""A name on the way to the maker's: "I am Claude, an AI made by"."""


def of_all(form: str, languages: Sequence[Language] = LANGUAGES) -> re.Pattern[str]:
    """A pattern in all languages, from a form that names their parts in braces."""
    common = {"START": START, "CLAUSE": CLAUSE, "NP": NP, "PASSING": IN_PASSING}
    return re.compile("|".join(form.format(**common, **vars(one)) for one in languages), re.I)


# Before a name, up to it.
INTRODUCED = of_all(r"{START}(?:{am}|{called}) [*_]*$")
CALLED_SO = of_all(r"{START}(?:{am}|{as_}) {NP}{noun},? {called_so} [*_]*$")
AS = of_all(r"{CLAUSE}(?:{as_}) [*_]*$")
MADE_BY = of_all(
    r"{START}(?:{am} {NP}{noun}|(?:{am}|{called}){PASSING},?(?: {NP}{noun})?)"
    r"(?:,? {called_so}{PASSING})?,?(?: and)?(?:{made_by}) ?(?:the )?[*_]*$"
)
AS_MADE_BY = of_all(r"{CLAUSE}(?:{as_}) ?{NP}{noun},?(?:{made_by}) ?[*_]*$")
WAS_MADE_BY = of_all(r"{i_was_made_by} ?[*_]*$")
OWNED = of_all(r"{START}(?:{am}|{called})(?:{PASSING},)?(?: an?| the)? [*_]*$", [ENGLISH])
AS_OWNED = of_all(r"{CLAUSE}(?:{as_})(?: an?| the)? [*_]*$", [ENGLISH])

VON = of_all(
    r"(?:{START}(?:{am}|{as_})(?:{PASSING},)?(?: ein\w*)?|\bich wurde(?: \w+)?) von $", [GERMAN]
)

# After a name.
GEMACHT = re.compile(
    r"^(?: \w+){0,4} (?:entwickelt|erstellt|trainiert|geschaffen|gebaut|programmiert)"
)
"""German has the verb, or the participle, after the maker."""
MADE_ME = of_all(r"^(?:{made_me})")
AN_AI = of_all(r"^[*_]*,? (?:[\w.]+(?: AI)?'s )?{NP}{noun}\b")
ITS_AI = of_all(
    r"^[*_]*(?:'s)? {NP}{noun}\b(?! (?:user|fan|researcher|engineer|developer|expert|manager))",
    [ENGLISH],
)
OTHER_TRADE = re.compile(rf"^[*_]*,? {ARTICLE} ", re.IGNORECASE)
CLOSES = re.compile(r"^[\"'”’*_)]*(?:[.!?,;:)]|\s*$|\n| [-–—(]| (?:and|here|y|et|und|e)\b)")
MADE = re.compile(
    r"^[*_]*,? (?:and )?(?:made|created|developed|trained|built|designed|from|by|based|desarroll|"
    r"cread|entrenad|développ|créé|entraîn|conçu|entwickelt|trainiert|von|criad|desenvolv|treinad)"
)
I_GO_ON = re.compile(
    r"^(?:[^.!?\n]*?)[ ,](?:I|I'm|I've|my|me|yo|mi|no|je|j'\w+|mon|ma|mes|kann|bin|habe|ich|"
    r"mein\w*|eu|meus?|minhas?|não|puedo|tengo|posso|tenho|estoy|estou)\b"
)
SURNAME = re.compile(r"^ [A-Z][a-zà-ÿ]")

AI_WORDS = re.compile(
    r"\b(?:AI|A\.I\.|IA|KI|LLM|artificial intelligence|language model|chat ?bot|assistant|"
    r"assist you|help you|inteligencia artificial|inteligência artificial|intelligence artificielle"
    r"|künstliche intelligenz|modelo de (?:lenguaje|linguagem)|modèle de lang\w+|sprachmodell|"
    r"asistente|assistente|assistent|ayudar\w*|vous aider|t'aider|helfen|ajud\w+|OpenAI|"
    r"Anthropic|DeepMind)\b"
)
SENTENCE_ENDS = re.compile(r"[.!?…:][\"'”’)*]*\s|\n")
APOSTROPHES = str.maketrans({"’": "'", "ʼ": "'", "\u00a0": " ", "\u202f": " "})
"""One character for one, so that places stay the same."""


def spans(text: str, names: Sequence[str]) -> list[tuple[int, int]]:
    """[start, end) of each name by which a reply names itself or its makers, in order.

    names: of the study's models, families and providers, beside those known to everybody.
    """
    plain = text.translate(APOSTROPHES)
    found = islice(names_pattern(frozenset(names)).finditer(plain), NAMES_AT_MOST)
    places = [without_noun(plain, *match.span()) for match in found]
    return [place for place in places if names_itself(plain, *place)]


def without_noun(text: str, start: int, end: int) -> tuple[int, int]:
    """ "a Google AI" is an AI of Google's, though there is a Google AI too."""
    has_noun = text.endswith(" AI", start, end) and re.search(r"\ban? [*_]*$", text[:start][-5:])
    return start, end - len(" AI") if has_noun else end


@lru_cache(maxsize=256)
def names_pattern(further: frozenset[str]) -> re.Pattern[str]:
    own = {name.strip() for name in further}
    own = {name for name in own if len(name) > 1 and name.lower() not in TOO_COMMON}
    names = {*MODELS, *MAKERS, *own}
    spellings = {spelling for name in names for spelling in (name, name.upper(), name.title())}
    spellings |= {name.lower() for name in names if COINED.fullmatch(name)}
    longest_first = sorted(spellings, key=lambda name: (-len(name), name))
    rests: dict[str, list[str]] = {}
    for name in longest_first:
        rests.setdefault(re.escape(name[0]), []).append(re.escape(name[1:]))
    either = "|".join(f"{first}(?:{'|'.join(rest)})" for first, rest in rests.items())
    return re.compile(
        rf"(?<![\w@/.-])(?:(?:{either})'s )?(?:{either})(?i:{VERSION})(?![\w@]|[-.]\w)"
    )


def names_itself(text: str, start: int, end: int) -> bool:
    """Whether the name there is the speaker's own, or that of who made the speaker."""
    if is_quoted(text, start):
        return False
    before, after = sentence_before(text, start), text[end : end + AFTER]
    name = text[start:end]
    if SURNAME.match(after) and name in MODELS:
        return False
    if is_makers(before, after):
        return True
    if CALLED_SO.search(before):
        return True
    if INTRODUCED.search(before):
        is_certain = AN_AI.match(after) is not None
        has_trade = OTHER_TRADE.match(after) and not COINED.fullmatch(name)
        may_be = not has_trade and bool(CLOSES.match(after) or MADE.match(after))
    elif AS.search(before):
        has_trade = OTHER_TRADE.match(after) and not AN_AI.match(after)
        may_be = not has_trade and bool(I_GO_ON.match(after))
        is_certain = may_be and name.title() in OFTEN_SPOKEN_AS
    else:
        return False
    return is_certain or (may_be and is_a_model(text, start, end))


def is_makers(before: str, after: str) -> bool:
    if MADE_BY.search(before) or WAS_MADE_BY.search(before) or MADE_ME.match(after):
        return True
    if VON.search(before) and GEMACHT.match(after):
        return True
    if OWNED.search(before) and ITS_AI.match(after):
        return True
    speaks = I_GO_ON.match(after)
    return bool(
        speaks and (AS_MADE_BY.search(before) or (AS_OWNED.search(before) and ITS_AI.match(after)))
    )


def is_a_model(text: str, start: int, end: int) -> bool:
    """Whether the name can't well be a person's, or the words around it speak of a model."""
    name = text[start:end]
    line = text[text.rfind("\n", 0, start) + 1 :].partition("\n")[0]
    if COINED.fullmatch(name) or (name in MODELS and len(line) <= SHORT):
        return True
    around = text[max(0, start - EVIDENCE) : start] + " " + text[end : end + EVIDENCE]
    return AI_WORDS.search(around) is not None


def sentence_before(text: str, start: int) -> str:
    before = text[max(0, start - BEFORE) : start]
    ends = [match.end() for match in SENTENCE_ENDS.finditer(before)]
    return before[ends[-1] :] if ends else before


def is_quoted(text: str, start: int) -> bool:
    """Whether somebody else is speaking: a character of a story, a person cited."""
    line = text[max(0, start - 4 * BEFORE) : start].rpartition("\n")[2]
    closing = "“" if "„" in line else "”"
    opening = "„" if "„" in line else "“"
    return (
        line.count('"') % 2 == 1
        or line.rfind(opening) > line.rfind(closing)
        or line.rfind("«") > line.rfind("»")
        or IN_SINGLE_QUOTES.search(line) is not None
    )


IN_SINGLE_QUOTES = re.compile(r"(?:‘|(?:^|[\s(])')(?:[^']|'\w)*$")
"""One that opened and has not closed; apostrophes stand before a letter."""


def mask(text: str, spans: Sequence[tuple[int, int]]) -> str:
    """The text with a neutral phrase in the place of each name, so that it still reads."""
    plain = text.translate(APOSTROPHES)
    parts, at = [], 0
    for start, end in spans:
        phrase = neutral(plain, start, end)
        parts += [text[at:start].removesuffix("d'").removesuffix("d’"), phrase]
        at = end
    return "".join([*parts, text[at:]])


def neutral(text: str, start: int, end: int) -> str:
    before, after = sentence_before(text, start), text[end : end + AFTER]
    language = language_of(before, after)
    if not is_makers(before, after):
        return language.this_assistant
    if after.startswith("'s"):
        return "my maker"
    if owned := re.search(r"\b(an|a|the) [*_]*$", before):
        return "unnamed" if owned[1] == "an" else "certain"
    last_word = before.rstrip(" *_").rpartition(" ")[2]
    phrase = AFTER_WORDS.get(last_word, language.makers)
    if before.endswith(" d'"):
        phrase = f"de {phrase}"
    return phrase if before.strip() else phrase[0].upper() + phrase[1:]


AFTER_WORDS = {"pela": "minha criadora", "da": "minha criadora"} | {
    "pelo": "meu criador",
    "do": "meu criador",
}
"""Portuguese puts the article into the word before."""


def language_of(before: str, after: str) -> Language:
    if VON.search(before):
        return GERMAN
    for language, pattern in SPOKEN:
        if pattern.search(before + "\0" + after):
            return language
    return ENGLISH


SPOKEN = [
    (
        one,
        re.compile(
            rf"{START}(?:{one.am}|{one.called}|{one.as_}) |{one.i_was_made_by}|\0{one.made_me}",
            re.IGNORECASE,
        ),
    )
    for one in LANGUAGES
]
"""By what a language is known."""
