"""Figures out of Prometheus pages."""

from __future__ import annotations

from vedette.scraping import Scraper, figures, parse

PAGE = """\
# HELP gen_ai_client_operation_duration_seconds How long an answer took.
# TYPE gen_ai_client_operation_duration_seconds histogram
gen_ai_client_operation_duration_seconds_bucket{{le="0.1",vedette_finish_reason="stop"}} {fast}
gen_ai_client_operation_duration_seconds_bucket{{le="0.2",vedette_finish_reason="stop"}} {all}
gen_ai_client_operation_duration_seconds_bucket{{le="+Inf",vedette_finish_reason="stop"}} {all}
gen_ai_client_operation_duration_seconds_count{{vedette_finish_reason="stop"}} {all}
gen_ai_client_token_usage_sum{{gen_ai_token_type="input"}} 1000
gen_ai_client_token_usage_sum{{gen_ai_token_type="output"}} {tokens}
vedette_inference_sequences{{gen_ai_response_model="m",vedette_sequence_state="running"}} 3
vedette_guard_check_duration_seconds_count{{vedette_guard_action="block"}} 5
"""


def page(fast, everything, tokens):
    return parse(PAGE.format(fast=fast, all=everything, tokens=tokens))


def test_a_page_is_read_by_name_and_labels():
    """Values with their labels; comments and damage are passed over."""
    read = parse('# HELP x\nx{a="b",c="d e"} 1.5\nbroken line\ny 2\nz{a="b"} many\n')
    assert {("x", (("a", "b"), ("c", "d e"))): 1.5, ("y", ()): 2.0} == read


def test_figures_are_what_happened_in_between():
    """Rates and quantiles of the change, and what is so now."""
    found = figures(page(0, 0, 100), page(10, 20, 400), seconds=10)
    assert {"stop": 2.0} == found["answers_per_s"]
    assert 30.0 == found["tokens_per_s"]
    assert (100.0, 190.0) == (found["latency_p50_ms"], round(found["latency_p95_ms"], 6))
    assert (3.0, None) == (found["running"], found["waiting"])
    assert {"block": 0.0} == found["checks_per_s"]


def test_a_service_that_was_started_again_counts_from_nought():
    """A sum that shrank is not a negative rate."""
    assert {"stop": 0.0} == figures(page(10, 20, 0), page(0, 0, 0), seconds=10)["answers_per_s"]


def test_where_nobody_answers_there_are_no_figures(free_port):
    """The page goes without."""
    assert [] == Scraper([f"127.0.0.1:{free_port}"]).latest()
