"""The doors of the conversation stage: instructions, the hub, and one page per conversation."""

from collections.abc import Callable
from typing import Any

from django.db.models import QuerySet
from django.http import Http404, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from collection import conversations, generation, ratings
from collection.conversations import Asking
from collection.models import Attempt, Conversation, Interaction, Utterance
from surveys import drafts, enrolment
from surveys.errors import DomainError, FieldErrors
from surveys.models import Participant
from surveys.prepared import prepared
from surveys.sliders import Line, filled
from surveys.views import study_context
from surveys.visitor import Visit, VisitorRequest, find, participant_view, with_visitors

Context = dict[str, Any]
State = Interaction.State


def is_talking(participant: Participant) -> bool:
    """Whether the conversation stage is this person's stage."""
    return (
        participant.survey_finished_at is not None
        and participant.stopped_at is None
        and participant.screened_at is None
        and participant.completed_at is None
    )


def has_had_all(participant: Participant) -> bool:
    """Complete their part if the study needs no more conversations of them: of a type that they
    had before them there may be enough by now."""
    is_over = bool(participant.protocol.conversations_in_all) and (
        conversations.under_way(participant) is None and conversations.is_enough(participant)
    )
    if is_over:
        enrolment.complete(participant)
    return is_over


@require_http_methods(["GET", "POST"])
@participant_view
def instructions(request: VisitorRequest) -> HttpResponse:
    participant = request.participant
    slug = participant.study.slug
    if not is_talking(participant):
        return redirect("next", slug)
    if has_had_all(participant):
        return redirect("next", slug)
    if request.method == "POST":
        if participant.instructed_at is None:
            participant.instructed_at = timezone.now()
            participant.save(update_fields=["instructed_at"])
        return redirect("next", slug)
    context = study_context(participant) | {
        "protocol": participant.protocol,
        "texts": participant.file.task,
        "wanted": conversations.wanted(participant),
    }
    return render(request, "collection/instructions.html", context)


@require_http_methods(["GET", "POST"])
@participant_view
def hub(request: VisitorRequest) -> HttpResponse:
    participant = request.participant
    slug = participant.study.slug
    if not is_talking(participant) or participant.instructed_at is None:
        return redirect("next", slug)
    if has_had_all(participant):
        return redirect("next", slug)
    message, status = "", 200
    if request.method == "POST":
        try:
            conversation = conversations.start(participant, request.POST.get("type", ""))
            return redirect("conversation", slug, conversation.number)
        except DomainError as error:
            message = error.message
            # What was offered a moment ago: nobody's mistake.
            status = 200 if error.code == "closed_type" else 422
    under_way = conversations.under_way(participant)
    if under_way and under_way.interactions.exists():
        return redirect("conversation", slug, under_way.number)
    last = participant.conversations.order_by("-number").first()
    context = study_context(participant) | {
        "texts": participant.file.task,
        "types": conversations.type_counts(participant),
        "left_in_all": conversations.left_in_all(participant),
        "quota": participant.protocol.conversations_per_type,
        "message": message,
        "is_apology": last is not None and last.state == Conversation.State.TECHNICAL,
    }
    return render(request, "collection/hub.html", context, status=status)


class TalkRequest(VisitorRequest):
    """A request whose address names one of the person's conversations."""

    conversation: Conversation | None


@prepared
def _numbered(key: str, slug: str, number: int) -> QuerySet[Conversation]:
    rows = Conversation.objects.filter(
        participant__key=key,
        participant__study__slug=slug,
        participant__study__is_imported=False,
        number=number,
    )
    return with_visitors(rows, "participant")


def find_talking(
    request: TalkRequest, slug: str, visit: Visit | None, number: int
) -> Participant | None:
    """The person and, in one query, their conversation with this number."""
    found: list[Conversation] = []
    if visit and number <= conversations.HIGHEST_NUMBER:
        found = _numbered(visit.key, slug, number)
    request.conversation = found[0] if found else None
    return found[0].participant if found else find(slug, visit)


Handler = Callable[[VisitorRequest, Conversation], HttpResponse]


def conversation_view(handler: Handler) -> Any:
    """A view of the conversation under way; any other sends the person to where they are."""

    def view(request: TalkRequest, number: int) -> HttpResponse:
        conversation = request.conversation
        if conversation is None:
            raise Http404
        if not is_talking(request.participant) or not conversation.is_under_way:
            return leave(request)
        return handler(request, conversation)

    return participant_view(view, finder=find_talking)  # type: ignore[arg-type]


def conversation_action(handler: Handler) -> Any:
    """A verb of the conversation under way. Its address, reloaded, shows the conversation."""

    @conversation_view
    def view(request: VisitorRequest, conversation: Conversation) -> HttpResponse:
        if request.method != "POST":
            return back_to(conversation)
        return handler(request, conversation)

    return view


def back_to(conversation: Conversation) -> HttpResponse:
    return redirect("conversation", conversation.participant.study.slug, conversation.number)


def wants_fragment(request: VisitorRequest) -> bool:
    """Whether the page's script asks, which has the rest of the page already."""
    headers = request.headers
    return "HX-Request" in headers and "HX-History-Restore-Request" not in headers


def after(
    request: VisitorRequest, conversation: Conversation, asking: Asking | None = None
) -> HttpResponse:
    """What follows a verb: where the conversation now stands. asking: what is known of that."""
    if not wants_fragment(request):
        return back_to(conversation)
    if asking:
        attempt = asking.attempt
        return show(request, conversation, last=attempt.interaction, attempt=attempt)
    conversation.refresh_from_db(fields=["state", "endpoint"])
    return show(request, conversation) if conversation.is_under_way else leave(request)


def leave(request: VisitorRequest) -> HttpResponse:
    """To the stage that comes next, which is another page."""
    slug = request.participant.study.slug
    if not wants_fragment(request):
        return redirect("next", slug)
    response = HttpResponse()
    response["HX-Redirect"] = reverse("next", args=[slug])
    return response


@require_safe
@conversation_view
def conversation_page(request: VisitorRequest, conversation: Conversation) -> HttpResponse:
    return show(request, conversation)


@require_safe
@conversation_view
def live(request: VisitorRequest, conversation: Conversation) -> HttpResponse:
    """What a waiting page asks for: nothing yet (204), or the page's new content."""
    last = conversations.latest(conversation)
    if conversation.state == Conversation.State.OPEN and last and last.state == State.PENDING:
        return HttpResponse(status=204)
    return show(request, conversation, is_fragment=True, last=last)


@conversation_action
def prompt(request: VisitorRequest, conversation: Conversation) -> HttpResponse:
    turn = whole_number(request.POST.get("turn"))
    try:
        asking = conversations.add_prompt(conversation, turn, request.POST.get("prompt", ""))
    except DomainError as error:
        return show(request, conversation, data=request.POST, errors={"prompt": error.message})
    if asking:
        generation.launch(asking)
        drafts.drop(request.participant, draft_page(conversation, turn, "prompt"))
    return after(request, conversation, asking)


@conversation_action
def again(request: VisitorRequest, conversation: Conversation) -> HttpResponse:
    number = whole_number(request.POST.get("attempt"))
    try:
        asking = conversations.try_again(conversation, number, request.POST.get("prompt"))
    except DomainError as error:
        return show(request, conversation, data=request.POST, errors={"prompt": error.message})
    if asking:
        generation.launch(asking)
    return after(request, conversation, asking)


@conversation_action
def rate(request: VisitorRequest, conversation: Conversation) -> HttpResponse:
    turn = whole_number(request.POST.get("turn"))
    try:
        ratings.rate(conversation, turn, request.POST)
    except FieldErrors as error:
        return show(request, conversation, data=request.POST, errors=error.errors)
    drafts.drop(request.participant, draft_page(conversation, turn, "rate"))
    return after(request, conversation)


@conversation_action
def finish(request: VisitorRequest, conversation: Conversation) -> HttpResponse:
    conversations.finish(conversation)
    return after(request, conversation)


@conversation_action
def feedback(request: VisitorRequest, conversation: Conversation) -> HttpResponse:
    try:
        ratings.give_feedback(conversation, request.POST)
    except FieldErrors as error:
        return show(request, conversation, data=request.POST, errors=error.errors)
    drafts.drop(request.participant, draft_page(conversation, 0, "feedback"))
    return leave(request)


@conversation_action
def report_reply(request: VisitorRequest, conversation: Conversation) -> HttpResponse:
    try:
        ratings.report_reply(
            conversation,
            whole_number(request.POST.get("position")),
            request.POST.get("reason", ""),
            hide="hide" in request.POST,
        )
    except DomainError as error:
        return show(request, conversation, errors={"report": error.message})
    return after(request, conversation)


def whole_number(raw: str | None) -> int:
    """A number from a form, or -1, which no turn, attempt or position ever is."""
    return int(raw) if raw and raw.isascii() and raw.isdigit() and len(raw) < 6 else -1


def draft_page(conversation: Conversation, turn: int, what: str) -> str:
    return f"c/{conversation.number}/{turn}/{what}"


def show(
    request: VisitorRequest,
    conversation: Conversation,
    *,
    is_fragment: bool = False,
    last: Interaction | None = None,
    attempt: Attempt | None = None,
    data: QueryDict | None = None,
    errors: dict[str, str] | None = None,
) -> HttpResponse:
    """The page of a conversation as it stands: opening, waiting, failed, rating, continuing, …

    last, attempt: the latest interaction and its latest attempt, if they are known already.
    """
    if errors:  # a refused form says nothing about where the conversation is: look again
        conversation.refresh_from_db(fields=["state", "endpoint"])
    last = last or conversations.latest(conversation)
    name, context = stage(conversation, last, attempt)
    draft = context.get("draft", "")
    if data is None and draft:
        data = drafts.load(request.participant, draft)
    context |= study_context(request.participant) | {
        "base": "fragment.html" if is_fragment or wants_fragment(request) else "base.html",
        "conversation": conversation,
        "texts": request.participant.file.task,
        "protocol": request.participant.protocol,
        "type": request.participant.file.task.type(conversation.conversation_type),
        "given": data or QueryDict(),
        "errors": errors or {},
        "words": "",
    }
    if name == "rating":
        context["cards"] = rating_cards(context)
    if name == "feedback":
        context["scales"] = feedback_scales(context)
    status = 422 if errors else 200
    return render(request, f"collection/{name}.html", context, status=status)


def stage(
    conversation: Conversation, last: Interaction | None, attempt: Attempt | None
) -> tuple[str, Context]:
    """Which template, and what it needs of the conversation so far."""
    if conversation.state == Conversation.State.FINISHED:
        first = conversation.interactions.get(turn=0)
        replies = list(first.utterances.order_by("position"))
        return "feedback", {
            "first": first,
            "top_rated": next(reply for reply in replies if reply.if_chosen),
            "others": [reply for reply in replies if not reply.if_chosen],
            "draft": draft_page(conversation, 0, "feedback"),
        }
    if last is None:
        return "opening", {
            "turn": 0,
            "draft": draft_page(conversation, 0, "prompt"),
            "anchor": conversations.anchor_of(conversation),
        }
    history = conversations.history(conversation, before=last.turn + (last.state == State.RATED))
    turns = len(history)
    common: Context = {"interaction": last, "turn": last.turn, "history": history, "turns": turns}
    if last.state == State.PENDING:
        attempt = attempt or last.attempts.latest("number")
        return "waiting", common | waiting_times(conversation, attempt)
    if last.state == State.FAILED:
        return "failed", common | {
            "attempt": last.attempts.count() - 1,
            "anchor": conversations.anchor_of(conversation) if last.is_opening else None,
            "tries_left": conversations.tries_left(last),
            "may_finish": conversations.may_finish(conversation, last, turns),
        }
    if last.state == State.SETTLED:
        return "rating", common | {
            "replies": _replies(last.pk),
            "draft": draft_page(conversation, last.turn, "rate"),
        }
    next_turn = last.turn + 1
    return "continuing", common | {
        "turn": next_turn,
        "may_finish": conversations.may_finish(conversation, last, turns),
        "may_continue": conversations.may_continue(conversation, next_turn),
        "draft": draft_page(conversation, next_turn, "prompt"),
    }


@prepared
def _replies(interaction: int) -> QuerySet[Utterance]:
    return Utterance.objects.filter(interaction=interaction).order_by("position")


def waiting_times(conversation: Conversation, attempt: Attempt) -> Context:
    """Seconds at most and seconds so far: honest also after a take-over, which starts afresh."""
    limit = conversation.participant.protocol.reply_limit_s
    generation.take_over_soon(attempt)
    left = (attempt.deadline - timezone.now()).total_seconds()
    return {"limit_s": round(limit), "waited_s": round(min(limit, max(0.0, limit - left)))}


def rating_cards(context: Context) -> list[tuple[Utterance, Line]]:
    """Each reply with its line, in screen order."""
    texts, protocol = context["texts"], context["protocol"]
    cards = []
    for reply in context["replies"]:
        name = ratings.score_name(reply.position)
        line = Line(
            name=name,
            ask=_("Rate reply %s") % reply.letter,
            low=texts.low,
            high=texts.high,
            start_middle=protocol.untouched_counts,
            ask_hidden=True,
            missing=name in context["errors"],
            error=context["errors"].get(name, ""),
            minimum=ratings.LOW,
            maximum=ratings.HIGH,
        )
        cards.append((reply, filled(line, context["given"])))
    return cards


def feedback_scales(context: Context) -> list[Context]:
    """Both attribute blocks with their lines in the person's order."""
    participant, given, errors = context["participant"], context["given"], context["errors"]
    blocks = []
    for kind, scale in ratings.scales(participant).items():
        lines = []
        for attribute in ratings.attribute_lines(participant, kind):
            line = Line(
                name=attribute.name,
                ask=attribute.ask,
                low=scale.low,
                high=scale.high,
                na_allowed=True,
                start_middle=participant.protocol.untouched_counts,
                missing=attribute.name in errors,
                error=errors.get(attribute.name, ""),
                minimum=ratings.LOW,
                maximum=ratings.HIGH,
            )
            lines.append(filled(line, given))
        blocks.append({"kind": kind, "scale": scale, "lines": lines})
    return blocks
