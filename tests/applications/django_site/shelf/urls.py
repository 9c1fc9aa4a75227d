"""The pages of the site."""

from __future__ import annotations

from django.contrib import admin
from django.urls import path
from notes import views

urlpatterns = [
    path("", views.index),
    path("export.csv", views.export),
    path("files/<str:name>", views.file),
    path("fails", views.fails),
    path("breaks", views.breaks),
    path("breaks-later", views.breaks_later),
    path("forever", views.forever),
    path("forever-later", views.forever_later),
    path("who", views.who),
    path("later", views.later),
    path("ticks", views.ticks),
    path("admin/", admin.site.urls),
]
