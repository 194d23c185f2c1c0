"""Drawn orders of more than options: OptionOrder becomes Order, its question a scope."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("surveys", "0001_initial")]

    operations = [
        migrations.RemoveConstraint("OptionOrder", "one_order_per_question"),
        migrations.RenameModel("OptionOrder", "Order"),
        migrations.RenameField("Order", "question", "scope"),
        migrations.AlterField("Order", "scope", models.CharField(max_length=80)),
        migrations.AddConstraint(
            "Order",
            models.UniqueConstraint(fields=("participant", "scope"), name="one_order_per_scope"),
        ),
    ]
