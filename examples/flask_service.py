"""A service of Flask, which is found by its name and calls another one by its name."""

from flask import Flask

from peerage.integrations.wsgi import discovered
from peerage.sync import Discovery

discovery = Discovery()
client = discovery.client()
app = Flask(__name__)


@app.get("/v1/shop")
def shop():
    orders = client.get("http://orders.service_id.asab/v1/orders")
    return {"shop": "open", "orders": orders.raise_for_status().json()["items"]}


# The names are in the environment; the port is the one that the server really has.
app.wsgi_app = discovered(app.wsgi_app, discovery)
