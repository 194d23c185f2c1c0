"""The doors of a participant's rights: what is held, a copy of it, and withdrawing it.

They take the browser that consented, or the personal link: a recruiter's id is no secret.
"""

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from collection import held
from surveys import audit, enrolment
from surveys.models import WithdrawalReceipt
from surveys.views import may_withdraw, personal_url, study_context
from surveys.visitor import STUDIES, VisitorRequest, has_consented, participant_view, speak


@require_safe
@participant_view
def your_data(request: VisitorRequest) -> HttpResponse:
    participant = request.participant
    if not has_consented(participant):
        return redirect("next", participant.study.slug)
    context = study_context(participant) | {"is_trusted": request.visit.is_trusted}
    if participant.withdrawn_at:
        context["receipt"] = receipt_of(request)
    elif request.visit.is_trusted:
        context |= {
            "parts": held.parts(participant),
            "until": enrolment.withdrawable_until(participant),
            "is_withdrawable": may_withdraw(request),
            "link": personal_url(request, participant),
        }
    return render(request, "collection/your_data.html", context)


def receipt_of(request: VisitorRequest) -> WithdrawalReceipt | None:
    if not request.visit.is_trusted:
        return None
    code = enrolment.receipt_code(request.participant)
    return WithdrawalReceipt.objects.filter(code=code).first()


@require_safe
@participant_view
def download_own(request: VisitorRequest) -> HttpResponse:
    participant = request.participant
    slug = participant.study.slug
    is_theirs = request.visit.is_trusted and has_consented(participant)
    if not is_theirs or participant.withdrawn_at:
        return redirect("your-data", slug)
    answer = JsonResponse(
        held.document(participant), json_dumps_params={"ensure_ascii": False, "indent": 1}
    )
    answer["Content-Disposition"] = f'attachment; filename="my-data-{slug}.json"'
    audit.write(audit.PARTICIPANT, "exported", participant, participant.study)
    return answer


@participant_view
def withdraw(request: VisitorRequest) -> HttpResponse:
    """Twice, or in two tabs, leads to the one receipt."""
    participant = request.participant
    slug = participant.study.slug
    is_asked = request.method == "POST" and has_consented(participant)
    if not is_asked or not may_withdraw(request):
        return redirect("your-data", slug)
    receipt = enrolment.withdraw(participant)
    return redirect("receipt", slug, receipt.code) if receipt else redirect("stopped", slug)


@never_cache
@require_safe
def receipt(request: HttpRequest, slug: str, code: str) -> HttpResponse:
    """For whoever has the code: it says nothing about the person."""
    study = get_object_or_404(STUDIES, slug=slug)
    found = get_object_or_404(WithdrawalReceipt, study=study, code=code)
    speak(request, study)
    context = {"study": study, "receipt": found, "erased": held.erased(found.counts)}
    return render(request, "collection/receipt.html", context)
