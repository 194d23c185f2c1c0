"""What was decided at the desk is told to whoever recruited the person."""

from typing import Any

from collection.models import Review
from surveys import decisions
from surveys.models import SETTLED, Submission

Decision = Review.Decision


def pass_on(review: Review, **_signal: Any) -> None:
    """Within the decision's transaction; what goes out waits in the outbox.

    Raises DomainError where the recruiter would not take it, for instance a rejection in fewer
    words than Prolific wants: the decision is then not made either.
    """
    # All, and chosen here: who decides about many at once has fetched them along.
    for submission in sorted(review.participant.submissions.all(), key=lambda row: row.pk):
        if submission.status not in SETTLED:
            tell(submission, review)


def tell(submission: Submission, review: Review) -> None:
    by = review.reviewer_name
    if review.decision == Decision.APPROVE:
        decisions.approve(submission, by)
    elif review.decision == Decision.RETURN:
        decisions.request_return(submission, review.reason, by)
    elif review.decision == Decision.REJECT:
        decisions.reject(submission, "OTHER", review.reason, by)
