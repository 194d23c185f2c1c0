from django.db import models


class Entry(models.Model):
    """What somebody wrote."""

    text = models.TextField()

    def __str__(self) -> str:
        return self.text
