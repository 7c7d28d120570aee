"""The fixed names of the simulated account, so that subjects, tests and examples mean the same things."""

PROJECT_ID = "05495693df80d3c92fa1c01795c2be02"
DOMAIN_ID = "0a6ef1bd7b0010e40f8ac01c4c5a2d60"
DOMAIN_NAME = "simulated-company"
USER_ID = "0b3f2c9e5f8025d11f3fc01c7a9e4b55"
USER_NAME = "simulated-operator"
PASSWORD = "Simulated-Passw0rd"  # noqa: S105 - made up, works nowhere else
REGION = "ap-southeast-1"
ACCESS_KEY = "SIMULATEDACCESSKEY00"
SECRET_KEY = "simulated-secret-key-works-nowhere-else"  # noqa: S105 - made up, works nowhere else
TEMPORARY_ACCESS_KEY = "SIMULATEDTEMPORARY00"
TEMPORARY_SECRET_KEY = "simulated-temporary-secret-works-nowhere-else"  # noqa: S105 - made up
SECURITY_TOKEN = "simulated-security-token-works-nowhere-else"  # noqa: S105 - made up

SHOP_PROD = "5a9f2b1e-3c1d-11ef-8a6b-0255ac100b01"
PAYMENTS_PROD = "7be01c34-41aa-11ef-9c02-0255ac100b02"
CHECKOUT_STAGING = "8d3c7f52-4b90-11ef-b1d7-0255ac100b03"
SEARCH_DEV = "91e4a6c8-52f3-11ef-a3e9-0255ac100b04"
ML_BATCH = "a7d25b90-5c08-11ef-87f1-0255ac100b05"
LEGACY_IMPORT = "b8f36ca2-6114-11ef-9d4e-0255ac100b06"
TEAM_SANDBOX = "c1042db6-6a2f-11ef-8c35-0255ac100b07"

CLUSTER_NAMES = {
    SHOP_PROD: "shop-prod",
    PAYMENTS_PROD: "payments-prod",
    CHECKOUT_STAGING: "checkout-staging",
    SEARCH_DEV: "search-dev",
    ML_BATCH: "ml-batch",
    LEGACY_IMPORT: "legacy-import",
    TEAM_SANDBOX: "team-sandbox",
}

VPC_ID = "2f1d6a0c-9b3e-4f57-8c41-6d0a9e7b5c10"
SUBNET_IDS = (
    "4c8b7e92-1f60-4a3d-9b25-e07c3d81fa21",
    "6e0d9ab4-3182-4c5f-8d47-029e5fa31c43",
    "8f2eb0c6-53a4-4e71-9f69-24b071c53e65",
)
"""Neutron subnet ids of the pod network."""
HOST_SUBNET_ID = "a041c2d8-75c6-4093-8b8b-46d293e76087"
FULL_SUBNET_ID = "b7d3f5e1-0a92-4c6e-8e14-90fb3c25d718"
"""A pod subnet without a free address: a cluster that wants it cannot be created."""
EIP_ID = "e2946f0d-7c5b-4b18-a3d0-5f81c62a9e47"
"""A public address that is not in use yet."""
