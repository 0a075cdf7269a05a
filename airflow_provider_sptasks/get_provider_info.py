"""What Airflow asks a provider about itself, as pure data: a connection form imports no hook."""

from __future__ import annotations

from typing import Any


def get_provider_info() -> dict[str, Any]:
    """Return the provider's metadata, as Airflow's ``provider_info.schema.json`` describes it."""
    integration = "SailPoint Identity Security Cloud"
    package = "airflow_provider_sptasks"
    return {
        "package-name": "airflow-provider-sptasks",
        "name": "SailPoint Identity Security Cloud",
        "description": "Gates DAGs on SailPoint aggregations and clears stuck tasks.",
        "integrations": [
            {
                "integration-name": integration,
                "external-doc-url": "https://developer.sailpoint.com/docs/api/v2026/task-management",
                "tags": ["service"],
            }
        ],
        "hooks": [{"integration-name": integration, "python-modules": [f"{package}.hooks.sailpoint"]}],
        "sensors": [{"integration-name": integration, "python-modules": [f"{package}.sensors.sailpoint"]}],
        "operators": [
            {"integration-name": integration, "python-modules": [f"{package}.operators.sailpoint"]}
        ],
        "triggers": [
            {
                "integration-name": integration,
                "python-modules": [f"{package}.triggers.completions", f"{package}.triggers.sailpoint"],
            }
        ],
        "config": {
            "sailpoint": {
                "description": "The page in Airflow's UI: see docs/page.md.",
                "options": {
                    "page": {
                        "description": "Whether Airflow's UI has the page, from Airflow 3.1 on.",
                        "version_added": "0.2.0",
                        "type": "boolean",
                        "example": None,
                        "default": "True",
                    },
                    "page_connections": {
                        "description": "Ids of connections, with commas between them, that the page offers "
                        "besides those in Airflow's database: it can't list those of the environment and of "
                        "secrets backends.",
                        "version_added": "0.2.0",
                        "type": "string",
                        "example": "sailpoint_prod,sailpoint_test",
                        "default": "",
                    },
                    "page_readers": {
                        "description": "Who may read the page: connection for those who may see the "
                        "connection, view for all who may see the cluster's activity. Changing always needs "
                        "the right to edit the connection.",
                        "version_added": "0.2.0",
                        "type": "string",
                        "example": "view",
                        "default": "connection",
                    },
                },
            }
        },
        "extra-links": [f"{package}.links.SailPointAggregationLink"],
        "cli": [f"{package}.cli.definition.get_sailpoint_cli_commands"],
        "connection-types": [
            {
                "connection-type": "sailpoint",
                "hook-class-name": f"{package}.hooks.sailpoint.SailPointHook",
                "hook-name": integration,
                "ui-field-behaviour": {
                    "hidden-fields": ["schema", "extra"],
                    "relabeling": {"host": "Tenant", "login": "Client ID", "password": "Client Secret"},
                    "placeholders": {"host": "acme, or acme.api.identitynow.com"},
                },
                "conn-fields": {
                    "api_version": {
                        "label": "API version",
                        "description": "v1 where it is left empty.",
                        "schema": {
                            "type": ["string", "null"],
                            "enum": ["v1", "v2026", "v2025", "v2024", "beta"],
                        },
                    },
                    "token_url": {
                        "label": "Token URL",
                        "description": "Where tokens are issued, if not at the tenant's /oauth/token.",
                        "schema": {"type": ["string", "null"]},
                    },
                    "timeout": {
                        "label": "Timeout",
                        "description": "Seconds to wait for an answer; 30 where it is left empty.",
                        "schema": {"type": ["number", "null"], "minimum": 1, "maximum": 3600},
                    },
                    "verify": {
                        "label": "Verify TLS",
                        "description": "true, false or the path of a CA bundle; true where it is left empty.",
                        "schema": {"type": ["string", "null"]},
                    },
                    "proxies": {
                        "label": "Proxies",
                        "description": 'URLs by scheme: {"https": "http://proxy.example.com:3128"}',
                        "schema": {"type": ["object", "null"]},
                    },
                    "requests_per_10s": {
                        "label": "Requests per 10 seconds",
                        "description": "What all processes of a host may send together, of the 100 that "
                        "SailPoint allows; 80 where it is left empty.",
                        "schema": {"type": ["integer", "null"], "minimum": 1, "maximum": 100},
                    },
                    "poll_share": {
                        "label": "Poll share",
                        "description": "Part of SailPoint's limit that many deferred sensors take up; "
                        "0.1 where it is left empty.",
                        "schema": {"type": ["number", "null"], "minimum": 0.01, "maximum": 1},
                    },
                    "max_answer_mb": {
                        "label": "Largest answer",
                        "description": "Megabytes that an answer may hold; 64 where it is left empty.",
                        "schema": {"type": ["number", "null"], "minimum": 1, "maximum": 1024},
                    },
                    "access_token": {
                        "label": "Access token",
                        "description": "Instead of a Client Secret: can't be renewed when it expires.",
                        "schema": {"type": ["string", "null"], "format": "password"},
                    },
                    "budget_url": {
                        "label": "Budget URL",
                        "description": "A Redis or Valkey server at which all hosts share the rate limit.",
                        "schema": {"type": ["string", "null"]},
                    },
                    "budget_password": {
                        "label": "Budget password",
                        "description": "The password of that server, if it wants one.",
                        "schema": {"type": ["string", "null"], "format": "password"},
                    },
                    "ui_url": {
                        "label": "Admin UI URL",
                        "description": "Where links lead, if the UI has a domain of its own.",
                        "schema": {"type": ["string", "null"]},
                    },
                },
            }
        ],
    }
