"""Where replies name themselves, and where they only speak of models, companies and people."""

import pytest

from collection import blindness

NAMES = ["vendor/model-7", "Sabiá", "Maritaca", "Large"]


def named(text: str) -> list[str]:
    return [text[start:end] for start, end in blindness.spans(text, NAMES)]


SELVES = {
    # Introductions
    "I'm Claude.": ["Claude"],
    "I’m ChatGPT, a large language model trained by OpenAI.": ["ChatGPT", "OpenAI"],
    "Hello! I am Claude, an AI assistant made by Anthropic.": ["Claude", "Anthropic"],
    "Hi there! I'm **Gemini 1.5 Pro**, how can I help you?": ["Gemini 1.5 Pro"],
    "my name is Llama": ["Llama"],
    "My name is Bard and I am a large language model.": ["Bard"],
    "I'm Claude! I'm an AI, so I can't taste soup.": ["Claude"],
    "I'm called Pi, your personal AI.": ["Pi"],
    "You're chatting with Claude, Anthropic's AI assistant.": ["Claude", "Anthropic"],
    "I, ChatGPT, cannot take a side.": ["ChatGPT"],
    "I am GPT-4.": ["GPT-4"],
    "I am actually GPT-3.5-turbo, not GPT-4.": ["GPT-3.5-turbo"],
    "I'm OpenAI's ChatGPT.": ["OpenAI's ChatGPT"],
    "I'm Llama 2, made by Meta AI.": ["Llama 2", "Meta AI"],
    "I'm Mixtral 8x7B and I like soup.": ["Mixtral 8x7B"],
    "I'm an AI assistant called Claude.": ["Claude"],
    "I am a language model known as StableLM.": ["StableLM"],
    "I'm Sabiá, an AI model developed by Maritaca.": ["Sabiá", "Maritaca"],
    "You can call me Claude. How can I help you today?": ["Claude"],
    # As …
    "As Claude, I don't have opinions.": ["Claude"],
    "As ChatGPT, my knowledge ends in 2021.": ["ChatGPT"],
    "Well, as Claude, I can't.": ["Claude"],
    "As an AI developed by OpenAI, I have no feelings.": ["OpenAI"],
    "as a language model trained by Google, I cannot say.": ["Google"],
    "As a large language model from Meta AI, I try to be fair.": ["Meta AI"],
    "As an OpenAI language model, I can't.": ["OpenAI"],
    "As Claude, an AI assistant, I would rather not.": ["Claude"],
    # Made by …
    "I am an AI developed by OpenAI": ["OpenAI"],
    "I'm an AI by Anthropic.": ["Anthropic"],
    "I am a conversational, helpful assistant that was created and trained by Cohere.": ["Cohere"],
    "I was created by Anthropic to be helpful.": ["Anthropic"],
    "I've been trained by Mistral AI.": ["Mistral AI"],
    "I'm just a computer program designed by the team at Google.": ["Google"],
    "My creator is OpenAI.": ["OpenAI"],
    "OpenAI created me in 2022.": ["OpenAI"],
    "Anthropic, the company that made me, is in San Francisco.": ["Anthropic"],
    "I'm a Google AI.": ["Google"],
    "I am OpenAI's language model.": ["OpenAI"],
    "I'm an AI language model powered by GPT-4.": ["GPT-4"],
    "I am vendor/model-7.": ["vendor/model-7"],
    # Spanish
    "Soy ChatGPT, un modelo de lenguaje desarrollado por OpenAI.": ["ChatGPT", "OpenAI"],
    "¡Hola! Me llamo Claude y soy un asistente de inteligencia artificial.": ["Claude"],
    "Soy una IA creada por Anthropic.": ["Anthropic"],
    "Como modelo de lenguaje entrenado por Google, no tengo opiniones.": ["Google"],
    "Fui desarrollado por Meta.": ["Meta"],
    "Como ChatGPT, no puedo opinar.": ["ChatGPT"],
    # French
    "Je suis Claude, un assistant IA créé par Anthropic.": ["Claude", "Anthropic"],
    "Je m'appelle ChatGPT.": ["ChatGPT"],
    "En tant que modèle de langage développé par OpenAI, je n'ai pas d'avis.": ["OpenAI"],
    "Je suis un grand modèle de langage, entraîné par Google.": ["Google"],
    "J’ai été conçu par Mistral AI.": ["Mistral AI"],
    "Je suis un modèle de langage d'OpenAI.": ["OpenAI"],
    # German
    "Ich bin ChatGPT, ein von OpenAI entwickeltes Sprachmodell.": ["ChatGPT", "OpenAI"],
    "Ich bin ein großes Sprachmodell, trainiert von Google.": ["Google"],
    "Mein Name ist Claude, ich bin ein KI-Assistent.": ["Claude"],
    "Als KI-Modell von OpenAI habe ich keine Meinung.": ["OpenAI"],
    "Ich wurde von Anthropic entwickelt.": ["Anthropic"],
    # Portuguese
    "Eu sou o ChatGPT, um modelo de linguagem treinado pela OpenAI.": ["ChatGPT", "OpenAI"],
    "Meu nome é Claude e sou um assistente de IA.": ["Claude"],
    "Sou uma IA criada pelo Google.": ["Google"],
    "Fui desenvolvido pela Anthropic.": ["Anthropic"],
    "Como modelo de linguagem desenvolvido pela Meta, não tenho opiniões.": ["Meta"],
}

OTHERS = [
    "",
    "OpenAI was founded in 2015.",
    "Claude Monet painted water lilies.",
    "I am Claude Monet, and I painted these.",
    "As Claude Monet, I would paint soup.",
    "As a Gemini, you are curious; I would say so.",
    "Gemini is a zodiac sign. I think Geminis are curious.",
    "I am a Gemini, and my sister is a Leo.",
    "ChatGPT is a chatbot developed by OpenAI.",
    "Chatbots such as ChatGPT, I think, are useful.",
    "You can ask ChatGPT. It is an AI made by OpenAI.",
    "I am not ChatGPT.",
    "I'm an AI language model.",
    "As an AI language model, I don't have opinions.",
    "I was created to be helpful.",
    "Google, as an AI company, employs many.",
    "ChatGPT, as an AI model developed by OpenAI, can write.",
    "I am a fan of language models developed by OpenAI.",
    "I'm an AI researcher funded by Google.",
    "I am a program manager at Google.",
    "I am a Google AI researcher.",
    "Ich wurde von Google eingestellt.",
    'The baker smiled. "My name is Claude," he said.',
    "‘I’m Claude,’ said the baker.",
    "“I am ChatGPT,” the robot on the stage announced.",
    "„Ich bin Claude“, sagte der Bäcker.",
    "« Je suis Claude », dit le boulanger.",
    "My name is Claude, a baker from Lyon, and this is the story of my bread and of my father's.",
    "My name is Claude. I was born in Lyon in 1911, above a bakery that smelled of burnt sugar.",
    "I am Claude's brother.",
    "I'm Bard-like in my ways.",
    "I'm using Copilot every day.",
    "I'd like to visit the Falcon, and as Siri, the princess, put it, all is well.",
    "The llama said that it is Llama.",
    "Meta-analysis is what I do; I'm meta.",
    "Send it to claude@anthropic.com, or see https://openai.com/chatgpt.",
    "Apple trees are what I am growing. I'm from Apple Valley.",
    "Mistral is the wind that I am named after.",
    "Pi is 3.14159. I'm sure.",
    "I am Large.",
    "As Google, the company, grew, I kept watching.",
    "Companies such as Google train models. I am one of their critics.",
    "Empresas como OpenAI, yo creo, son grandes.",
    "Modelos como ChatGPT fueron desarrollados por OpenAI.",
    "Soy Claude Monet y pinto nenúfares.",
    "Je suis Claude François.",
    "Ich bin bei Google angestellt.",
    "Trabalho na Google e sou feliz.",
    "If you were ChatGPT, what would you say?",
    "The app is powered by GPT-4.",
    "My car was made by Meta, my phone by Apple.",
    "My makers remain unnamed; Google is a company.",
]


@pytest.mark.parametrize(("text", "names"), SELVES.items())
def test_it_works(text: str, names: list[str]) -> None:
    assert named(text) == names


@pytest.mark.parametrize("text", OTHERS)
def test_a_mention_is_no_introduction(text: str) -> None:
    assert named(text) == []


@pytest.mark.parametrize(("text", "names"), SELVES.items())
def test_it_is_found_within_a_longer_reply(text: str, names: list[str]) -> None:
    around = f"Soup is a dish.\n\n{text}\n\nIt is eaten with a spoon, and I hope that helps you."
    assert named(around) == names


MASKED = {
    "As Claude, I don't know.": "As this assistant, I don't know.",
    "I’m ChatGPT, a large language model trained by OpenAI.": (
        "I’m this assistant, a large language model trained by my makers."
    ),
    "I'm a Google AI.": "I'm a certain AI.",
    "As an OpenAI language model, I can't.": "As an unnamed language model, I can't.",
    "I am OpenAI's language model.": "I am my maker's language model.",
    "OpenAI created me in 2022.": "My makers created me in 2022.",
    "Soy ChatGPT, un modelo de lenguaje desarrollado por OpenAI.": (
        "Soy este asistente, un modelo de lenguaje desarrollado por mis creadores."
    ),
    "Je suis Claude, un assistant IA créé par Anthropic.": (
        "Je suis cet assistant, un assistant IA créé par mes créateurs."
    ),
    "Je suis un modèle de langage d'OpenAI.": "Je suis un modèle de langage de mes créateurs.",
    "Ich wurde von Anthropic entwickelt.": "Ich wurde von meinen Entwicklern entwickelt.",
    "Eu sou o ChatGPT, um modelo de linguagem treinado pela OpenAI.": (
        "Eu sou o este assistente, um modelo de linguagem treinado pela minha criadora."
    ),
}


@pytest.mark.parametrize(("text", "shown"), MASKED.items())
def test_a_masked_reply_still_reads(text: str, shown: str) -> None:
    assert blindness.mask(text, blindness.spans(text, NAMES)) == shown


@pytest.mark.parametrize("text", SELVES)
def test_a_masked_reply_names_nothing_further(text: str) -> None:
    masked = blindness.mask(text, blindness.spans(text, NAMES))
    for name in named(text):
        assert name not in masked
    assert named(masked) == []


def test_nothing_found_changes_nothing() -> None:
    assert blindness.mask("ChatGPT is a chatbot.", []) == "ChatGPT is a chatbot."


HUGE = {
    "Claude " * 150_000: 0,
    "I'm a " * 170_000: 0,
    "I am an AI made by " * 50_000: 0,
    "'" * 1_000_000: 0,
    "I am GPT-4. " * 80_000: blindness.NAMES_AT_MOST,
    "x" * 1_000_000 + "\nI am GPT-4.": 1,
}


@pytest.mark.parametrize(("text", "found"), HUGE.items(), ids=range(len(HUGE)))
def test_a_reply_of_a_megabyte_comes_to_an_end(text: str, found: int) -> None:
    assert len(blindness.spans(text, NAMES)) == found
