"""`import stguard` is cheap, and every public name is there."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import stguard

HEAVY = ["streamlit", "yaml", "click", "propelauth_py", "requests", "httpx", "authlib", "stguard.policy", "stguard.app"]


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout


def test_importing_stguard_loads_neither_streamlit_nor_yaml_nor_any_sdk() -> None:
    loaded = json.loads(
        python(f"import sys, json, stguard; print(json.dumps([m for m in {HEAVY} if m in sys.modules]))")
    )
    assert loaded == []


def test_asking_a_policy_needs_no_streamlit() -> None:
    text = "stguard: 1\\npages: {home: signed_in}\\n"
    code = f"import sys, stguard; stguard.Policy.from_yaml('{text}'); print('streamlit' in sys.modules)"
    assert python(code) == "False\n"


@pytest.mark.parametrize("name", stguard.__all__)
def test_every_public_name_is_there_and_is_what_it_says(name: str) -> None:
    value = getattr(stguard, name)
    assert repr(value) == "<stguard.state>" if name == "state" else value.__name__ == name
    assert name in dir(stguard)


def test_names_stay_what_they_are_when_modules_load() -> None:
    # A module of the package sets an attribute of its own name on the package.
    code = """
import importlib, inspect, pkgutil, stguard
for module in pkgutil.iter_modules(stguard.__path__, 'stguard.'):
    if not module.name.endswith('__main__'):
        importlib.import_module(module.name)
print([name for name in stguard.__all__ if inspect.ismodule(getattr(stguard, name))])
"""
    assert python(code).splitlines()[-1] == "[]"


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="authorise"):
        _ = stguard.authorise
