"""The site for WSGI servers."""

from __future__ import annotations

from django.core.wsgi import get_wsgi_application
from django.db import connections

application = get_wsgi_application()

from notes.views import warm_up  # noqa: E402  # models can be imported only now

warm_up()
connections.close_all()  # with `preload: true` the workers are forked after this
