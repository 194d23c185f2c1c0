from django.db import migrations, models


def from_is_open(apps, _schema_editor):
    apps.get_model("surveys", "Study").objects.filter(is_open=True).update(state="live")
    apps.get_model("surveys", "Study").objects.filter(is_open=False).update(state="paused")


def to_is_open(apps, _schema_editor):
    open_states = ("pilot", "live")
    apps.get_model("surveys", "Study").objects.filter(state__in=open_states).update(is_open=True)
    apps.get_model("surveys", "Study").objects.exclude(state__in=open_states).update(is_open=False)


class Migration(migrations.Migration):
    dependencies = [("surveys", "0004_live_conversations")]

    operations = [
        migrations.AddField(
            model_name="study",
            name="state",
            field=models.CharField(
                choices=[
                    ("draft", "draft"),
                    ("pilot", "pilot"),
                    ("live", "live"),
                    ("paused", "paused"),
                    ("closed", "closed"),
                ],
                default="draft",
                help_text="New people can take part in a pilot and in a live study.",
                max_length=10,
            ),
        ),
        migrations.RunPython(from_is_open, to_is_open),
        migrations.RemoveField(model_name="study", name="is_open"),
    ]
