from django.apps import AppConfig


class CollectionConfig(AppConfig):
    name = "collection"

    def ready(self) -> None:
        from collection import budget, passing_on, reviewing
        from surveys import enrolment

        enrolment.arriving.connect(budget.check_room, dispatch_uid="budget")
        enrolment.consenting.connect(budget.reserve, dispatch_uid="budget")
        reviewing.decided.connect(passing_on.pass_on, dispatch_uid="recruiter")
