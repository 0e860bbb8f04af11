"""Which environment variables a function reads, from its sources alone."""

import time

import pytest

from ops.supabase.env_reads import Read
from ops.supabase.env_reads import reads_in
from ops.supabase.env_reads import reads_of


@pytest.mark.parametrize(
    ("text", "names", "is_open"),
    [
        ("""const key = Deno.env.get("STRIPE_KEY")!;""", {"STRIPE_KEY": False}, False),
        ("""Deno.env.get('A') ?? ''; Deno . env\n  .get( `B` ) || "b"; Deno.env.get("A")""", {"A": False, "B": True}, False),
        ("""if (Deno.env.has("A")) {}""", {"A": False}, False),
        ("""process.env.A; process.env["B"] ?? 1; globalThis.process?.env?.C""", {"A": False, "B": True, "C": False}, False),
        ("""const { A, B = "x", C: c } = process.env;""", {"A": False, "B": True, "C": False}, False),
        ("""const {\n  A,\n} = Deno.env.toObject()""", {"A": False}, False),
        ("""Deno.env.toObject().A; Deno.env.toObject()["B"]""", {"A": False, "B": False}, False),
        ("""const all = Deno.env.toObject();""", {}, True),
        ("""Deno.env.get(name); Deno.env.get("A" + suffix)""", {}, True),
        ("""const env = Deno.env; env.get("A")""", {}, True),
        ("""const { A, ...rest } = process.env""", {"A": False}, True),
        ("""Deno.env.set("A", "1"); Deno.env.delete("A")""", {}, False),
        ("""// Deno.env.get("A")\n/* Deno.env.get("B")\n */ let u = "https://"; Deno.env.get("C")""", {"C": False}, False),
        ("""const help = 'say Deno.env.get("A")'; `${Deno.env.get("B")}`""", {"B": False}, False),
        ("""myDeno.env.get("A"); $process.env.A; x.process.env.A; Deno.environment""", {}, False),
        ("", {}, False),
        ("Deno.env.get('", {}, True),
    ],
)  # fmt: skip
def test_what_a_text_reads(text: str, names: dict[str, bool], is_open: bool) -> None:
    found = reads_in(text)
    assert (dict(found.names), found.is_open) == (names, is_open)


def test_names_are_told_with_the_functions_that_read_them_and_what_the_platform_gives_is_not() -> None:
    shared = """Deno.env.get("SUPABASE_URL"); Deno.env.get("SB_REGION"); Deno.env.get("MAIL_KEY")"""
    found = reads_of({"pay": [shared, "Deno.env.get('PAY') ?? ''"], "mail": [shared], "open": ["Deno.env.get(x)"]})
    assert found.by_name == {
        "MAIL_KEY": Read("MAIL_KEY", ("mail", "pay"), is_optional=False),
        "PAY": Read("PAY", ("pay",), is_optional=True),
    }
    assert found.is_open == ("open",)


@pytest.mark.parametrize(
    "piece",
    [
        "/*",
        "'",
        '"\\',
        "const {",
        "Deno.env.get(",
        "Deno . env",
        "const { A, ",
        "process.env[",
        "Deno.env.toObject(",
        "/* *",
        " ",
    ],
)
def test_a_hostile_text_costs_time_in_proportion_to_its_length(piece: str) -> None:
    """Not a measurement: what grows with the square of the length would take minutes."""
    began = time.monotonic()
    reads_in(piece * (300_000 // len(piece)))
    assert time.monotonic() - began < 20
