"""Two services of a shop: `shop.py frontend URL-OF-BACKEND` and `shop.py backend`.

Knows nothing of tracing; `opentelemetry-instrument` brings that.
"""

import signal
import sys

import requests
from flask import Flask
from sqlalchemy import create_engine, text
from sqlalchemy.pool import StaticPool
from werkzeug.serving import make_server


def frontend(backend: str) -> Flask:
    app = Flask("frontend")

    @app.get("/checkout/<int:order>")
    def checkout(order: int):
        answer = requests.get(f"{backend}/stock/{order}", timeout=10)
        return {"stock": answer.json()["stock"]}

    return app


def backend() -> Flask:
    app = Flask("backend")
    engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})

    @app.get("/stock/<int:order>")
    def stock(order: int):
        with engine.connect() as connection:
            row = connection.execute(text("SELECT :order * 2 AS stock"), {"order": order}).one()
        return {"stock": row.stock}

    return app


# An ordinary end, on which the SDK sends what it still holds.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
app = frontend(sys.argv[2]) if sys.argv[1] == "frontend" else backend()
server = make_server("127.0.0.1", 0, app, threaded=True)
print(f"listening on {server.server_port}", flush=True)
server.serve_forever()
