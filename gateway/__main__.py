"""Runs the gateway: `python -m gateway`."""

from __future__ import annotations

import os
import sys

from servicekit.polling import WITHOUT_HANDOVER

os.environ.setdefault("GRPC_EXPERIMENTS", WITHOUT_HANDOVER)

from gateway.app import GatewayApp
from gateway.settings import GatewaySettings
from servicekit.process import main

sys.exit(main(GatewaySettings, GatewayApp))
