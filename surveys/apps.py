from django.apps import AppConfig


class SurveysConfig(AppConfig):
    name = "surveys"

    def ready(self) -> None:
        from django.contrib.auth.signals import user_logged_in, user_login_failed

        from surveys import audit, decisions, retention

        user_logged_in.connect(audit.signed_in, dispatch_uid="audit")
        retention.purging.connect(decisions.purge, dispatch_uid="recruiters")
        user_login_failed.connect(audit.failed_to_sign_in, dispatch_uid="audit")
