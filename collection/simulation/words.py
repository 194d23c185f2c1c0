"""What simulated people write: composed from phrases of our own, so that no two write the same.

Nothing here names or describes a real person.
"""

from collections.abc import Sequence
from random import Random

VALUES = (
    "honesty",
    "kindness",
    "patience",
    "loyalty",
    "fairness",
    "curiosity",
    "humility",
    "hard work",
    "respect for others",
    "keeping promises",
    "courage",
    "gratitude",
    "a sense of humour",
    "independence",
    "generosity",
    "faith",
    "freedom of speech",
    "family",
    "good manners",
    "looking after nature",
    "equality",
    "learning from mistakes",
    "self-discipline",
    "compassion",
    "tolerance",
    "taking responsibility",
)

ABOUT_ME = (
    "What matters most to me is {a}.",
    "I was raised to believe in {a} and {b}, and I still do.",
    "I try to live by {a} even when it is inconvenient.",
    "I would want my children to learn {a} before anything else.",
    "In my friends I look for {a} and {b}.",
    "I think {a} is underrated these days.",
    "My family comes first, and after that {a}.",
    "There is little that I hold as sacred as {a}.",
    "My faith teaches me {a}, and I try to act on it every day.",
    "I like people who show {a} without making a fuss about it.",
    "Without {a} I don't think {b} means very much.",
    "I believe everyone deserves a second chance.",
    "I don't like being told what to think, I would rather weigh things up myself.",
    "Money is useful but it is not what I want to be remembered for.",
    "I treat people the way I would like to be treated.",
    "I care a lot about the environment and what we leave behind.",
    "A good life to me is a quiet one, with time for the people I love.",
    "I have changed my mind about many things, but never about {a}.",
    "I value {a} above success.",
    "I try to listen before I judge anyone.",
    "At work I put {a} first, at home it is {b}.",
    "Small acts of {a} make more difference than big speeches.",
)

TRAITS = (
    "honest",
    "polite",
    "neutral",
    "concise",
    "friendly",
    "patient",
    "factual",
    "respectful",
    "direct",
    "humble",
    "creative",
    "clear",
    "open-minded",
    "warm",
    "careful with facts",
)

FAULTS = (
    "making things up",
    "preaching",
    "repeating itself",
    "long introductions",
    "rude or hateful language",
    "taking political sides",
    "pretending to have feelings",
    "giving medical advice as if it were a doctor",
    "flattery",
    "talking down to people",
    "answers copied from somewhere without saying so",
    "refusing harmless questions",
)

SYSTEM = (
    "The AI should be {a} and {b} at all times.",
    "It should always be {a}, whatever the task.",
    "It must avoid {x}.",
    "I do not want to see {x} or {y}.",
    "If it does not know something it should simply say so.",
    "For work questions it should be {a}, for stories it can be more playful.",
    "It should explain things as you would to a smart friend.",
    "It should give sources when it states a fact.",
    "On difficult topics it should set out more than one point of view.",
    "It should ask a question back when mine is unclear.",
    "It should keep answers short unless I ask for detail.",
    "It should remember that people come from different cultures.",
    "It should never encourage anyone to hurt themselves or others.",
    "When the subject is sensitive I would like it to be {a} rather than clever.",
    "In professional settings please no jokes, otherwise humour is welcome.",
    "It should not judge the person who is asking.",
    "It should behave like a good librarian: {a}, and never in a hurry.",
    "It should leave the decision to me.",
)

LIKED = (
    "The answer was clear and to the point.",
    "I liked that it gave several points of view.",
    "It understood what I meant straight away.",
    "The tone was friendly without being over the top.",
    "It gave me practical steps I can use.",
    "It stayed neutral, which I appreciated.",
    "It picked up my follow-up questions well.",
    "It was better than I expected.",
)

DISLIKED = (
    "It was too long for such a simple question.",
    "It felt a bit robotic and generic.",
    "It avoided the question at first.",
    "It repeated the same point in different words.",
    "I would have liked more detail.",
    "It kept telling me that it is only a language model.",
    "It sounded sure of itself although part of it was wrong.",
    "The list was not what I asked for.",
    "It was too short to be of much use.",
)

WISHED = (
    "An ideal conversation would feel more like talking to a person who knows the subject.",
    "What was missing were examples.",
    "I would change the tone and make it warmer.",
    "It could have asked me something about my situation first.",
    "Some sources would have made it more convincing.",
    "Next time I would want it to come to the point sooner.",
    "Perhaps it could say how certain it is.",
    "Nothing was really missing for me.",
    "I would have preferred its own opinion at the end.",
)

SENTENCES: dict[str, Sequence[str]] = {
    "es": (
        "Ayudaría que nos escucháramos sin interrumpir.",
        "Hace falta más tiempo y menos prisa.",
        "La gente tendría que conocerse primero.",
        "Creo que falta confianza entre unos y otros.",
        "Una comida en común hace más que diez reuniones.",
        "Alguien de fuera podría moderar la conversación.",
        "Nadie quiere ser el primero en ceder.",
        "Yo empezaría por lo que tenemos en común.",
    ),
    "ar": (
        "من المفيد أن يستمع بعضنا إلى بعض دون مقاطعة.",
        "نحتاج إلى وقت أطول واستعجال أقل.",
        "على الناس أن يتعارفوا أولًا.",
        "أعتقد أن الثقة بين الناس ناقصة.",
        "وجبة مشتركة تنفع أكثر من عشرة اجتماعات.",
        "قد يدير الحوار شخص من الخارج.",
        "لا أحد يريد أن يكون أول من يتنازل.",
        "أبدأ بما يجمعنا.",
    ),
}
"""What people write in languages other than English."""

TOPICS: dict[str, Sequence[str]] = {
    "unguided": (
        "a vegetable soup for four",
        "learning to play the guitar as an adult",
        "a weekend by the sea without a car",
        "starting to run",
        "a present for a friend who has everything",
        "the history of chess",
        "growing tomatoes on a balcony",
        "sleeping better",
        "black holes",
        "a cover letter for a bakery job",
        "a short poem about autumn",
        "saving money on groceries",
        "good science fiction novels",
        "training a puppy",
        "making small talk at parties",
        "the rules of cricket",
        "repairing a dripping tap",
        "learning Portuguese",
        "what to cook with leftover rice",
        "keeping houseplants alive",
    ),
    "values guided": (
        "looking after ageing parents",
        "raising children with two religions",
        "forgiving a friend who lied",
        "working fewer hours to see my family more",
        "being honest when it hurts",
        "giving to charity",
        "eating less meat",
        "staying true to my faith at work",
        "dividing the housework fairly",
        "teaching children respect",
        "keeping traditions when living abroad",
        "speaking up when a colleague is treated badly",
        "whether success matters",
        "living with less",
        "marriage",
        "trust between neighbours",
    ),
    "controversy guided": (
        "immigration",
        "gun control",
        "abortion",
        "the death penalty",
        "taxing the very rich",
        "free speech online",
        "nuclear power",
        "legalising cannabis",
        "religion in schools",
        "eating animals",
        "gender quotas on company boards",
        "a universal basic income",
        "euthanasia",
        "the monarchy",
        "social media bans for teenagers",
        "positive discrimination",
    ),
}
"""By PRISM's conversation types; any other type is talked about as if it were unguided."""

OPENINGS: dict[str, Sequence[str]] = {
    "unguided": (
        "Can you help me with {t}?",
        "Tell me something about {t}.",
        "I need some ideas: {t}.",
        "What should a beginner know about {t}?",
        "Hi! I would like to talk about {t}, where do I begin?",
        "Give me three tips on {t}.",
        "How would you go about {t}?",
    ),
    "values guided": (
        "What do you think about {t}?",
        "I have been thinking a lot about {t}. How can one decide what is right?",
        "Why do people find {t} so hard?",
        "{t} is important to me. What would you advise?",
        "How do different cultures see {t}?",
        "My family and I disagree about {t}. What should we do?",
    ),
    "controversy guided": (
        "What is your opinion on {t}?",
        "Should the government do more about {t}?",
        "People in my country argue about {t} all the time. Who is right?",
        "Give me the best arguments for and against {t}.",
        "I think we are being lied to about {t}. Am I wrong?",
        "Is there any compromise possible on {t}?",
    ),
}

DETAILS = (
    "",
    "",
    "",
    " Please keep it short.",
    " I know very little about it.",
    " I would like an honest answer.",
    " Explain it in simple words.",
    " I have asked others and got different answers.",
)

FOLLOW_UPS = (
    "Can you give me an example?",
    "Why do you think so?",
    "That is helpful, but what about {t} when there is little time?",
    "Could you say that more briefly?",
    "I am not sure I agree. What would the other side say?",
    "What would be the first step?",
    "How do you know that?",
    "And what if that does not work for me?",
    "Tell me more about the second point.",
    "What do most people get wrong about {t}?",
    "Is that true everywhere or only in some countries?",
    "Thanks. Anything else I should think of?",
    "What would you do in my place?",
    "Can you put it as a list?",
    "Does that not contradict what you said before?",
)

OTHER_USES = (
    "Translating letters for my grandmother",
    "Writing invitations",
    "Explaining board game rules",
    "Practising for job interviews",
    "Naming characters for my stories",
)

OTHER_STATEMENTS = (
    "...says when it is not certain",
    "...respects my privacy",
    "...answers quickly",
    "...has a sense of humour",
    "...does not use much energy",
)

REPORTS = ("", "It is rude", "This makes no sense", "It contains a false claim")

PROBLEMS = (
    "The page took a while to load.",
    "I pressed a button twice by mistake and hope that is fine.",
    "On my screen the text was rather small.",
)


def sentences(draw: Random, phrases: Sequence[str], fillings: dict[str, Sequence[str]]) -> str:
    """Two to five different phrases; each letter in braces takes from its own list."""
    chosen = draw.sample(phrases, min(len(phrases), draw.choice((2, 2, 3, 3, 4, 5))))
    return " ".join(_filled(draw, phrase, fillings) for phrase in chosen)


def _filled(draw: Random, phrase: str, fillings: dict[str, Sequence[str]]) -> str:
    values: dict[str, str] = {}
    for letters, words in fillings.items():
        values |= zip(letters, draw.sample(words, len(letters)), strict=True)
    return phrase.format(**values)


def self_description(draw: Random) -> str:
    return sentences(draw, ABOUT_ME, {"ab": VALUES})


def system_string(draw: Random) -> str:
    return sentences(draw, SYSTEM, {"ab": TRAITS, "xy": FAULTS})


def open_feedback(draw: Random) -> str:
    """Something liked, something not, and often a wish."""
    parts = [draw.choice(LIKED), draw.choice(DISLIKED)]
    draw.shuffle(parts)
    return " ".join([*parts, *draw.sample(WISHED, draw.choice((0, 1, 1, 2)))])


def topic(draw: Random, conversation_type: str) -> str:
    return draw.choice(TOPICS.get(conversation_type, TOPICS["unguided"]))


def opening(draw: Random, conversation_type: str, about: str) -> str:
    asked = draw.choice(OPENINGS.get(conversation_type, OPENINGS["unguided"])).format(t=about)
    return asked[0].upper() + asked[1:] + draw.choice(DETAILS)


def follow_up(draw: Random, about: str) -> str:
    return draw.choice(FOLLOW_UPS).format(t=about)


def casually(text: str) -> str:
    """As somebody types who cares little for capitals and full stops."""
    return text[0].lower() + text[1:].replace("'", "").removesuffix(".")
