from django.apps import AppConfig


class CollectionConfig(AppConfig):
    name = "collection"

    def ready(self) -> None:
        from collection import budget, readiness
        from surveys import enrolment, studies

        enrolment.arriving.connect(budget.check_room, dispatch_uid="budget")
        studies.opening.connect(readiness.refuse_unready, dispatch_uid="readiness")
        enrolment.consenting.connect(budget.reserve, dispatch_uid="budget")
