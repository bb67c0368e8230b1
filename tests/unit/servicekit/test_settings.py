"""Settings are parsed once and fail loudly."""

from __future__ import annotations

import pytest
from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import SettingsConfigDict

from servicekit.settings import Port, RedisUrl, ServiceSettings, SettingsError, mistakes


class GatewaySettings(ServiceSettings):
    """Settings of a service with a secret."""

    model_config = SettingsConfigDict(env_prefix="VEDETTE_GATEWAY_")

    port: Port = Field(50051, description="Port.")
    password: SecretStr = Field(SecretStr("not chosen yet"), min_length=8, description="A secret.")
    redis_url: RedisUrl | None = Field(None, description="A URL.")
    models: tuple[str, ...] = Field((), description="A list.")
    days: dict[str, float] = Field({}, description="A table.")


class GuardrailsSettings(ServiceSettings):
    """Settings of another service."""

    model_config = SettingsConfigDict(env_prefix="VEDETTE_GUARDRAILS_")


def _mistakes():
    with pytest.raises(SettingsError) as caught:
        GatewaySettings.load()
    return caught.value.mistakes


def test_without_variables_the_defaults_apply():
    """A service starts without any setting, on loopback only."""
    settings = GatewaySettings.load()
    assert (settings.address, settings.is_loopback) == ("127.0.0.1:50051", True)


def test_variables_are_read(monkeypatch):
    """A variable with the service's prefix sets the field of that name."""
    monkeypatch.setenv("VEDETTE_GATEWAY_PORT", "6000")
    monkeypatch.setenv("VEDETTE_GATEWAY_DRAIN_S", "1.5")
    settings = GatewaySettings.load()
    assert (settings.port, settings.drain_s) == (6000, 1.5)


def test_all_mistakes_are_reported_together(monkeypatch):
    """Wrong values and unknown variables come in one message, each by its variable's name."""
    monkeypatch.setenv("VEDETTE_GATEWAY_PORT", "65536")
    monkeypatch.setenv("VEDETTE_GATEWAY_DRAIN_S", "soon")
    monkeypatch.setenv("VEDETTE_GATEWAY_LOG_LEVEL", "loud")
    monkeypatch.setenv("VEDETTE_GATEWAY_COLOUR", "blue")
    assert sorted(mistake.split(":")[0] for mistake in _mistakes()) == [
        "VEDETTE_GATEWAY_COLOUR",
        "VEDETTE_GATEWAY_DRAIN_S",
        "VEDETTE_GATEWAY_LOG_LEVEL",
        "VEDETTE_GATEWAY_PORT",
    ]


def test_the_message_counts_the_mistakes(monkeypatch):
    """One is a setting, two are settings."""
    monkeypatch.setenv("VEDETTE_GATEWAY_PORT", "high")
    with pytest.raises(SettingsError, match=r"^1 wrong setting:\n  - VEDETTE_GATEWAY_PORT"):
        GatewaySettings.load()


def test_a_list_that_is_no_json_is_one_mistake_among_others(monkeypatch):
    """It is named by its variable, with how to write it, and hides no other mistake."""
    monkeypatch.setenv("VEDETTE_GATEWAY_PORT", "65536")
    monkeypatch.setenv("VEDETTE_GATEWAY_MODELS", "small,large")
    monkeypatch.setenv("VEDETTE_GATEWAY_DAYS", "{")
    assert _mistakes() == (
        "VEDETTE_GATEWAY_PORT: Input should be less than or equal to 65535",
        'VEDETTE_GATEWAY_MODELS: write a JSON list, for example ["one", "two"]',
        'VEDETTE_GATEWAY_DAYS: write a JSON object, for example {"one": 1}',
    )


def test_services_that_share_an_environment_are_checked_together(monkeypatch):
    """The mistakes of all, and a variable that none of them reads only once."""
    monkeypatch.setenv("VEDETTE_GATEWAY_DRAIN_S", "-1")
    monkeypatch.setenv("VEDETTE_GUARDRAILS_DRAIN_S", "-1")
    monkeypatch.setenv("VEDETTE_GATWAY_PORT", "1")
    assert mistakes(GuardrailsSettings, GatewaySettings) == [
        "VEDETTE_GATWAY_PORT: no such setting; did you mean VEDETTE_GATEWAY_PORT?",
        "VEDETTE_GUARDRAILS_DRAIN_S: Input should be greater than or equal to 0",
        "VEDETTE_GATEWAY_DRAIN_S: Input should be greater than or equal to 0",
    ]


@pytest.mark.parametrize(
    ("variable", "answer"),
    [
        ("VEDETTE_GATEWAY_PROT", "did you mean VEDETTE_GATEWAY_PORT?"),
        ("VEDETTE_GATEWAY_DRAINS_S", "did you mean VEDETTE_GATEWAY_DRAIN_S?"),
        ("VEDETTE_GATWAY_PORT", "did you mean VEDETTE_GATEWAY_PORT?"),
        ("VEDETTE_0123456789_9876543210", "see docs/settings.md"),
    ],
    ids=["letters swapped", "one letter too many", "service misspelt", "nothing is close"],
)
def test_an_unknown_variable_is_a_mistake(variable, answer, monkeypatch):
    """A variable that nobody reads stops the service, with the likeliest name beside it."""
    monkeypatch.setenv(variable, "1")
    assert _mistakes() == (f"{variable}: no such setting; {answer}",)


@pytest.mark.parametrize(
    "variable",
    [
        "VEDETTE_INFERENCE_PORT",
        "VEDETTE_GUARDRAILS_NO_SUCH",
        "VEDETTE_HOME",
        "VEDETTE_VENV",
        "VEDETTE_TARGET",
    ],
)
def test_what_is_meant_for_others_is_left_alone(variable, monkeypatch):
    """Several services can share one environment; each minds its own prefix."""
    monkeypatch.setenv(variable, "1")
    assert GatewaySettings.load().port == 50051


def test_a_secret_is_never_shown(monkeypatch):
    """Neither the settings nor a complaint about a secret contain it."""
    monkeypatch.setenv("VEDETTE_GATEWAY_PASSWORD", "hunter2")
    complaint = _mistakes()
    monkeypatch.setenv("VEDETTE_GATEWAY_PASSWORD", "hunter2hunter2")
    shown = f"{complaint} {GatewaySettings.load()!r}"
    assert ("VEDETTE_GATEWAY_PASSWORD" in shown, "hunter2" in shown) == (True, False)


def test_the_password_in_a_url_is_never_shown(monkeypatch):
    """Neither in the settings nor in their JSON; only who asks for the value gets it."""
    url = "redis://:hunter2@localhost:6379/0"
    monkeypatch.setenv("VEDETTE_GATEWAY_REDIS_URL", url)
    settings = GatewaySettings.load()
    assert "hunter2" not in f"{settings!r} {settings} {settings.model_dump_json()}"
    assert url == settings.redis_url.get_secret_value()


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("http://:hunter2@x", "it has to begin with redis://"),
        ("redis://:hun#ter2@x:6379", "it is no URL; in a password"),
    ],
    ids=["another protocol", "a password that is not encoded"],
)
def test_a_wrong_url_is_not_repeated(url, rule, monkeypatch):
    """The complaint has the rule and not the value."""
    monkeypatch.setenv("VEDETTE_GATEWAY_REDIS_URL", url)
    [mistake] = _mistakes()
    assert mistake.startswith(f"VEDETTE_GATEWAY_REDIS_URL: {rule}")
    assert "ter2" not in mistake


def test_a_wrong_value_is_not_repeated(monkeypatch):
    """A complaint names the variable and the rule; the value may have been pasted by accident."""
    monkeypatch.setenv("VEDETTE_GATEWAY_PORT", "sk-secret-in-the-wrong-place")
    assert "sk-secret" not in " ".join(_mistakes())


def test_none_switches_an_optional_setting_off(monkeypatch):
    """The word none stands for nothing."""
    monkeypatch.setenv("VEDETTE_GATEWAY_TRACE_DIR", "none")
    assert GatewaySettings.load().trace_dir is None


def test_settings_do_not_change():
    """Settings are a frozen value."""
    with pytest.raises(ValidationError):
        GatewaySettings.load().port = 1


@pytest.mark.parametrize(
    ("host", "socket", "expected"),
    [
        ("127.0.0.1", "", True),
        ("127.9.9.9", "", True),
        ("::1", "", True),
        ("localhost", "", True),
        ("0.0.0.0", "run/a.sock", True),
        ("0.0.0.0", "", False),
        ("::", "", False),
        ("10.0.0.1", "", False),
        ("gateway.example", "", False),
    ],
)
def test_loopback_is_recognised(host, socket, expected, monkeypatch):
    """Only an address that no other machine reaches counts as loopback."""
    monkeypatch.setenv("VEDETTE_GATEWAY_HOST", host)
    monkeypatch.setenv("VEDETTE_GATEWAY_SOCKET", socket or "none")
    assert GatewaySettings.load().is_loopback is expected


def test_a_socket_is_listened_on_instead_of_a_port(monkeypatch):
    """With a socket set, host and port do not matter."""
    monkeypatch.setenv("VEDETTE_GATEWAY_SOCKET", "run/gateway.sock")
    assert GatewaySettings.load().address == "unix:run/gateway.sock"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("PORT", "-1"),
        ("DRAIN_S", "-0.1"),
        ("DRAIN_S", "nan"),
        ("DRAIN_NOTICE_S", "61"),
        ("DEFAULT_DEADLINE_S", "0"),
        ("DEFAULT_DEADLINE_S", "inf"),
        ("MAX_MESSAGE_BYTES", "1023"),
        ("TRACE_DIR_MAX_BYTES", "0"),
        ("LOG_LEVEL", "INFO"),
    ],
)
def test_values_out_of_range_are_refused(field, value, monkeypatch):
    """Each bound is enforced, and NaN is no number."""
    monkeypatch.setenv(f"VEDETTE_GATEWAY_{field}", value)
    assert [mistake.split(":")[0] for mistake in _mistakes()] == [f"VEDETTE_GATEWAY_{field}"]
