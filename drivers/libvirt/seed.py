"""The config drive: what cloud-init (NoCloud) reads when a guest boots, as an ISO image.

    meta-data         instance id, host name, public keys
    user-data         as it was asked for, decoded; without, an empty cloud-config
    network-config    version 2: each NIC by its MAC, with its addresses; the default one has the gateway

Promises: pure; the same guest has the same files. JSON is YAML, so no name can break out of its place.
"""

from __future__ import annotations

import io
import json
from base64 import b64decode
from ipaddress import ip_network
from typing import Any

from interlock.schema.commands import NicSpec, StartDomain
from interlock.schema.errors import PluginError

LABEL = "cidata"
EMPTY = b"#cloud-config\n{}\n"


def files(command: StartDomain) -> dict[str, bytes]:
    """What is on it, by name."""
    meta = {
        "instance-id": command.vm_id,
        "local-hostname": command.name,
        "public-keys": {f"key-{number}": key for number, key in enumerate(command.ssh_keys)},
    }
    network = {"version": 2, "ethernets": {f"nic{nic.device}": _ethernet(nic) for nic in command.nics}}
    return {
        "meta-data": _spoken(meta),
        "user-data": EMPTY if command.user_data is None else b64decode(command.user_data),
        "network-config": _spoken(network),
    }


def _spoken(value: Any) -> bytes:
    return json.dumps(value, indent=1, ensure_ascii=False).encode() + b"\n"


def _ethernet(nic: NicSpec) -> dict[str, Any]:
    addresses = [f"{nic.ip_address}/{ip_network(f'0.0.0.0/{nic.netmask}').prefixlen}"] if nic.netmask else []
    addresses += [f"{nic.ip6_address}/64"] if nic.ip6_address else []
    ethernet: dict[str, Any] = {"match": {"macaddress": nic.mac_address}, "addresses": addresses}
    if nic.is_default and nic.gateway:
        ethernet["routes"] = [{"to": "0.0.0.0/0", "via": nic.gateway}]
    return ethernet


def image(command: StartDomain) -> bytes:
    """The ISO.

    Raises:
        PluginError: pycdlib is not installed.
    """
    try:
        from pycdlib.pycdlib import PyCdlib
    except ImportError as error:
        raise PluginError(f"driver libvirt needs pycdlib ({error}): pip install 'interlock[libvirt]'") from error
    iso, out = PyCdlib(), io.BytesIO()
    iso.new(interchange_level=3, joliet=3, rock_ridge="1.09", vol_ident=LABEL)
    for number, (name, data) in enumerate(sorted(files(command).items())):
        iso.add_fp(io.BytesIO(data), len(data), f"/FILE{number}.;1", rr_name=name, joliet_path=f"/{name}")
    iso.write_fp(out)
    iso.close()
    return out.getvalue()
