"""`stguard schema`: the JSON Schema of the policy file."""

from __future__ import annotations

import click

from stguard import policyfile
from stguard.cli.output import json_option, print_json


@click.command("schema")
@json_option
def schema_command(*, as_json: bool) -> None:
    """Print the JSON Schema of the policy file, for editors.

    Save it beside the policy as stguard.schema.json and begin the policy with the line
    "# yaml-language-server: $schema=./stguard.schema.json".
    """
    del as_json  # it is JSON in any case
    print_json(policyfile.schema())
