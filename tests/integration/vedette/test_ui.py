"""The live page: its server, and both pages in a real browser."""

from __future__ import annotations

import http.client
import http.server
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest

from vedette.pages import trace_page
from vedette.scraping import Scraper
from vedette.ui import UiServer

TRACE_ID = "ab12" + "0" * 28
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
in_chromium = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on this machine")


@pytest.fixture
def ui(tmp_path):
    server = UiServer(port=0, folder=tmp_path, metrics=())
    serving = threading.Thread(target=server.serve_forever, args=(0.01,))
    serving.start()
    yield server
    server.shutdown()
    serving.join()
    server.server_close()


def get(ui, path, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", ui.server_port, timeout=60)
    connection.request("GET", path, headers=headers)
    response = connection.getresponse()
    body = response.read().decode()
    connection.close()
    return response, body


def test_it_lists_traces_with_the_services_health(ui, write_traces, whole_request):
    """The list grows with the files, and says which service serves."""
    before = json.loads(get(ui, "/api/traces")[1])
    write_traces(whole_request(TRACE_ID))
    after = json.loads(get(ui, "/api/traces")[1])
    assert (before["traces"], [t["trace_id"] for t in after["traces"]]) == ([], [TRACE_ID])
    assert set(after["health"]) == {"gateway", "guardrails", "inference"}


def test_it_gives_one_trace_whole(ui, write_traces, whole_request):
    """With spans and critical path, as the command prints it."""
    write_traces(whole_request(TRACE_ID))
    response, body = get(ui, f"/api/traces/{TRACE_ID}")
    assert (response.status, len(json.loads(body)["spans"])) == (200, 7)


@pytest.mark.parametrize(
    "path", ["/api/traces/ff", "/nothing", "/../etc/passwd", "/api/traces/%2e"]
)
def test_what_is_not_there_is_not_found(ui, path):
    """No path leads to a file."""
    assert get(ui, path)[0].status == 404


@pytest.mark.parametrize("path", ["/", "/api/traces", "/nothing"])
def test_it_answers_only_to_its_own_name(ui, path):
    """A page elsewhere that points its own name here learns nothing."""
    assert get(ui, path, Host="attacker.example")[0].status == 403
    assert get(ui, path, Host=f"localhost:{ui.server_port}")[0].status != 403


def test_it_forbids_the_browser_everything_else(ui):
    """Nothing may be loaded from or sent to any other place, nor may it be framed."""
    response, _ = get(ui, "/")
    policy = response.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "connect-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy


def test_it_listens_on_loopback_only(ui):
    """Nobody else on the network can read it."""
    assert ui.server_address[0] == "127.0.0.1"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_the_command_ends_at_a_signal(tmp_path, number):
    """It says where it is, and a signal ends it well."""
    command = [sys.executable, "-m", "vedette", "ui", "--port", "0", "--dir", str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    said = process.stdout.readline()
    while "http://127.0.0.1:" not in said:
        said = process.stdout.readline()
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == 0


def dom(url, profile):
    """What a page looks like to a reader, after its scripts have run."""
    command = [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    command += [f"--user-data-dir={profile}", "--virtual-time-budget=4000", url]
    environ = {**os.environ, "DBUS_SESSION_BUS_ADDRESS": "disabled:"}
    return subprocess.run(
        command, capture_output=True, text=True, timeout=90, check=True, env=environ
    ).stdout


@in_chromium
def test_a_trace_page_draws_every_span(tmp_path, whole_request, trace_of):
    """Seven rows, their bars, the first token, and where the time went."""
    page = tmp_path / "trace.html"
    page.write_text(trace_page(trace_of(whole_request(TRACE_ID))))
    drawn = dom(page.as_uri(), tmp_path / "profile")
    assert drawn.count('class="lane"') == 7
    assert ">first token</b>" in drawn
    assert "<b>decode</b> 56.0 ms (56 %)" in drawn
    assert "making 12 tokens at 214 tokens/s" in drawn


ACT = """<script>
const rows = () => [...document.querySelectorAll(".row")];
const row = (text) => rows().find((one) => one.textContent.includes(text));
const lane = row("decode").querySelector(".lane");
const box = lane.getBoundingClientRect();
const at = (type, share) => lane.dispatchEvent(new PointerEvent(type, {
  bubbles: true, button: 0, clientX: box.left + share * box.width, clientY: box.top + 5,
}));
at("pointerdown", 0.25);
at("pointermove", 0.5);
at("pointerup", 0.75);
setTimeout(() => {
  row("prefill").click();
  row("→ inference/").querySelector(".fold").click();
  for (const key of ["Home", "ArrowDown", "ArrowRight", "ArrowLeft", "ArrowLeft"]) {
    const focused = document.querySelector('.row[tabindex="0"]');
    focused.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
  }
  document.title = document.activeElement.querySelector(".words").textContent;
}, 50);
</script>"""


@in_chromium
def test_a_page_can_be_zoomed_folded_and_asked(tmp_path, whole_request, trace_of):
    """A drag zooms to its time, a click shows a span's facts, a fold hides what is below.

    The keys go down, fold, and stay where they are while the rows are drawn anew.
    """
    page = tmp_path / "trace.html"
    drawn = trace_page(trace_of(whole_request(TRACE_ID)))
    page.write_text(drawn.replace("</body>", ACT + "</body>"))
    found = dom(page.as_uri(), tmp_path / "profile")
    axis = found.partition('class="axis"')[2].partition("</div>")[0]
    ticks = [int(tick) for tick in re.findall(r">(\d+) ms<", axis)]
    assert (min(ticks) >= 25, max(ticks) <= 75) == (True, True)
    details = found.partition('class="details"')[2].partition("</dl>")[0]
    assert "prefill" in details
    assert "<title>→ guardrails/CheckText</title>" in found
    assert found.count('class="lane"') == 3


@in_chromium
def test_a_long_trace_starts_folded(tmp_path, span, trace_of):
    """Three hundred spans fit a window, and what is folded says what it hides."""
    late = {"vedette.guard.detector": "pii", "vedette.guard.state": "TIMED_OUT"}
    spans = [span("root", at=(0, 300)), span("guard", "root", at=(0, 300))]
    spans += [
        span(f"d{n}", "guard", at=(n, n + 1), attributes=late if n == 200 else {})
        for n in range(298)
    ]
    page = tmp_path / "trace.html"
    page.write_text(trace_page(trace_of(spans)))
    drawn = dom(page.as_uri(), tmp_path / "profile")
    assert drawn.count('class="lane"') == 2
    assert ">298 below</span>" in drawn
    assert ">timed_out</span>" in drawn


@in_chromium
def test_the_live_page_shows_list_plots_and_the_chosen_trace(
    ui, tmp_path, write_traces, whole_request
):
    """What was recorded appears by itself, and an address with a trace id opens it."""
    write_traces(whole_request(TRACE_ID))
    drawn = dom(f"{ui.url}#{TRACE_ID}", tmp_path / "profile")
    assert '<tr class="chosen"' in drawn
    assert drawn.count("<circle") >= 2
    assert "nothing found" in drawn
    assert drawn.count('class="lane"') == 7


@pytest.fixture
def metrics():
    """A service's metrics page, on which everything grows; its address."""
    asked = itertools.count(1)

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            count = 20 * next(asked)
            body = (
                f'gen_ai_client_operation_duration_seconds_count{{vedette_finish_reason="stop"}} '
                f"{count}\n"
                f'gen_ai_client_operation_duration_seconds_bucket{{le="0.2"}} {count}\n'
                f'gen_ai_client_operation_duration_seconds_bucket{{le="+Inf"}} {count}\n'
                f'vedette_guard_check_duration_seconds_count{{vedette_guard_action="block"}} '
                f"{count}\n"
            ).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    serving = threading.Thread(target=server.serve_forever, args=(0.01,))
    serving.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    serving.join()
    server.server_close()


def test_it_gives_the_services_figures(ui, metrics):
    """Rates and times over the time between two looks; without a service there are none."""
    assert {"figures": []} == json.loads(get(ui, "/api/metrics")[1])
    clock = itertools.count(1000, 10)
    ui.scraper = Scraper([metrics], clock=lambda: next(clock))
    get(ui, "/api/metrics")
    [found] = json.loads(get(ui, "/api/metrics")[1])["figures"]
    assert ({"stop": 2.0}, {"block": 2.0}) == (found["answers_per_s"], found["checks_per_s"])
    assert 100.0 == found["latency_p50_ms"]


@in_chromium
def test_the_live_page_draws_the_services_figures(ui, tmp_path, metrics):
    """Throughput, times and verdicts as lines, with the latest values in words."""
    clock = itertools.count(time.time() - 40, 10)
    ui.scraper = Scraper([metrics], clock=lambda: next(clock))
    for _ in range(3):
        ui.scraper.latest()
    drawn = dom(ui.url, tmp_path / "profile")
    assert drawn.count("<polyline") >= 4
    assert "No requests yet" in drawn
    assert ">2.0/s</div>" in drawn
    assert "2.0 blocking, 0.0 redacting" in drawn


def test_a_port_in_use_is_an_error(ui, tmp_path):
    """One sentence, and nothing that was opened for it stays open."""
    with pytest.raises(OSError, match="in use"):
        UiServer(port=ui.server_port, folder=tmp_path, metrics=())
