"""What is kept in the database."""

from __future__ import annotations

from django.db import models


class Note(models.Model):
    text = models.CharField(max_length=200)
    file = models.FileField(upload_to="notes", blank=True)
    written = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.text
