"""Runs the gateway: `python -m gateway`."""

from __future__ import annotations

import sys

from gateway.app import GatewayApp
from gateway.settings import GatewaySettings
from servicekit.process import main

sys.exit(main(GatewaySettings, GatewayApp))
