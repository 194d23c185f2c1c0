from django.apps import AppConfig


class CollectionConfig(AppConfig):
    name = "collection"

    def ready(self) -> None:
        from collection import budget, coding, passing_on, personal, readiness, releases, reviewing
        from surveys import enrolment, retention, studies

        enrolment.arriving.connect(budget.check_room, dispatch_uid="budget")
        studies.opening.connect(readiness.refuse_unready, dispatch_uid="readiness")
        enrolment.consenting.connect(budget.reserve, dispatch_uid="budget")
        enrolment.withdrawn.connect(releases.person_withdrew, dispatch_uid="releases")
        reviewing.decided.connect(passing_on.pass_on, dispatch_uid="recruiter")
        enrolment.withdrawn.connect(coding.forget, dispatch_uid="coding")
        retention.purging.connect(personal.purge, dispatch_uid="personal")
