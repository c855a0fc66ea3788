"""Azure's management SDK for Python as a program uses it: run by tools.ts, one release at a time."""

import json
import sys
import traceback

from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ResourceNotFoundError
from azure.identity import ClientSecretCredential, ManagedIdentityCredential
from azure.mgmt.communication import CommunicationServiceManagementClient

TASK = json.loads(sys.argv[1])
PLACE = ("dev", "from-python")


class Absent(Exception):
    """This release cannot be asked for it."""


def client_with(secret):
    return client_as(
        ClientSecretCredential(
            TASK["tenant"],
            TASK["tenant"],
            secret,
            authority=TASK["endpoint"],
            disable_instance_discovery=True,
        )
    )


def client_as(credential):
    scopes = [f"{TASK['endpoint']}/.default"]
    return CommunicationServiceManagementClient(
        credential, TASK["subscriptionId"], base_url=TASK["endpoint"], credential_scopes=scopes
    )


def services_of(management):
    # Release 1.0.0 names it in the singular.
    return getattr(management, "communication_services", None) or management.communication_service


client = client_with(TASK["operatorKey"])
services = services_of(client)


def names(of):
    return [service.name for service in of.list_by_resource_group(PLACE[0])]


def sign_in():
    assert "dev" in names(services)


def wrong_secret():
    other = client_with("not-the-operator-key")
    try:
        names(services_of(other))
    except ClientAuthenticationError as refused:
        assert "invalid_client" in str(refused) or "client secret" in str(refused), str(refused)
    else:
        raise AssertionError("it was accepted")


def make_and_list():
    # Only the newest release takes the member in its place on the wire.
    try:
        from azure.mgmt.communication.models import CommunicationServiceProperties as Properties
        from azure.mgmt.communication.models import CommunicationServiceResource

        wish = CommunicationServiceResource(location="global", properties=Properties(data_location="Europe"))
    except (ImportError, TypeError):
        from azure.mgmt.communication.models import CommunicationServiceResource

        wish = CommunicationServiceResource(location="global", data_location="Europe")
    made = services.begin_create_or_update(*PLACE, wish).result()
    assert made.name == PLACE[1], made
    assert state_of(made) == "Succeeded", made
    assert PLACE[1] in names(services)


def state_of(service):
    return getattr(service, "provisioning_state", None) or service.properties.provisioning_state


def keys():
    before = services.list_keys(*PLACE)
    after = services.regenerate_key(*PLACE, {"keyType": "Primary"})
    assert after.primary_key != before.primary_key
    assert after.secondary_key is None, "it tells the other key"
    assert after.primary_key in after.primary_connection_string


def identity():
    from azure.mgmt.communication import models

    if not hasattr(models, "ManagedServiceIdentity"):
        raise Absent("this release knows no identities of services")
    wish = {"identity": {"type": "SystemAssigned"}}
    changed = services.update(*PLACE, wish).identity
    assert changed.principal_id and changed.tenant_id, changed
    assert services.get(*PLACE).identity.principal_id == changed.principal_id


def email():
    if not hasattr(client, "email_services"):
        raise Absent("this release knows no e-mail")
    try:
        list(client.email_services.list_by_subscription())
    except HttpResponseError as refused:
        assert "does not offer e-mail" in str(refused), str(refused)
    else:
        raise AssertionError("it was accepted")


def managed_identity():
    machine = ManagedIdentityCredential()
    assert machine.get_token("https://communication.azure.com//.default").token
    assert "dev" in names(services_of(client_as(machine)))


def delete():
    services.begin_delete(*PLACE).result()
    try:
        services.get(*PLACE)
    except ResourceNotFoundError:
        return
    raise AssertionError("it is still there")


for check, does in {
    "sign-in": sign_in,
    "wrong-secret": wrong_secret,
    "services": make_and_list,
    "keys": keys,
    "identity": identity,
    "email": email,
    "managed-identity": managed_identity,
    "delete": delete,
}.items():
    found = {"operation": check, "outcome": "passed"}
    try:
        does()
    except Absent as absent:
        found.update(outcome="absent", how=str(absent))
    except Exception:  # whatever it is, it is the finding
        found.update(outcome="differs", how=traceback.format_exc(limit=-3))
    print(json.dumps(found), flush=True)
