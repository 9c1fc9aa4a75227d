"""A Django application: a page and a JSON response that takes two milliseconds."""

import time

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from shop_page import PAGE

settings.configure(
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="not a secret",
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
    ],
)


def answer(request: HttpRequest) -> JsonResponse:
    """A response that takes some time."""
    time.sleep(0.002)
    return JsonResponse({"path": request.path})


def page(request: HttpRequest) -> HttpResponse:
    """The page that asks."""
    return HttpResponse(PAGE)


urlpatterns = [path("page", page), path("x", answer), path("", answer)]
application = get_wsgi_application()
