"""Settings that cannot work, and their error messages; for the unit tier and the engine tier."""

from __future__ import annotations

import base64
import json
from typing import Any

GOOD: dict[str, Any] = {
    "vip": "10.0.250.185",
    "nodeIps": ["10.0.250.186", "10.0.250.187"],
    "vpcCidr": "10.0.0.0/16",
    "subnetCidr": "10.0.250.0/24",
    "platform": "debian12",
}
FINGERPRINT = "#99DB70FAE1D7CE227FB6488205B555B38483C65D"
WEB = {"protocol": "tcp", "ports": 443, "cidr": "10.0.0.0/16"}

BAD: dict[str, tuple[dict[str, Any], str]] = {
    "boundary is no ARN": (
        {"permissionsBoundary": "nodes"},
        "permissionsBoundary nodes is not of the form arn:aws",
    ),
    "boundary is a role": (
        {"permissionsBoundary": "arn:aws:iam::123456789012:role/nodes"},
        "permissionsBoundary arn:aws:iam::123456789012:role/nodes is not of the form",
    ),
    "no VIP": ({"vip": ""}, "vip is not set, and is required"),
    "no nodes": ({"nodeIps": []}, "nodeIps is not set, and is required"),
    "no subnet": ({"subnetCidr": ""}, "subnetCidr is not set, and is required"),
    "nowhere to live": ({"vpcCidr": ""}, "none of vpcCidr, vpcId, subnetId is set"),
    "two places to live": ({"vpcId": "vpc-0123456789abcdef0"}, "vpcCidr and vpcId are set together"),
    "a subnet and a CIDR": (
        {"vpcCidr": "", "subnetId": "subnet-0123456789abcdef0"},
        "subnetCidr 10.0.250.0/24 cannot be set together with subnetId",
    ),
    "a subnet and a zone": (
        {"vpcCidr": "", "subnetCidr": "", "subnetId": "subnet-01234567", "availabilityZone": "us-east-1a"},
        "availabilityZone us-east-1a cannot be set together with subnetId",
    ),
    "VIP outside": (
        {"vip": "10.0.9.1"},
        "vip 10.0.9.1 is outside 10.0.250.0/24; set ec2vip:vip to an address",
    ),
    "VIP is no address": ({"vip": "10.0.250.999"}, "vip 10.0.250.999 does not parse"),
    "VIP is a name": ({"vip": "database.internal"}, "vip database.internal does not parse"),
    "VIP is IPv6": ({"vip": "fd00::185"}, "vip fd00::185 does not parse"),
    "VIP is a node's": ({"vip": "10.0.250.186"}, "vip 10.0.250.186 is also in nodeIps"),
    "VIP is the router's": ({"vip": "10.0.250.1"}, "vip 10.0.250.1 is the VPC router's"),
    "VIP is the network's": ({"vip": "10.0.250.0"}, "vip 10.0.250.0 is the network's own"),
    "VIP is the name server's": ({"vip": "10.0.250.2"}, "vip 10.0.250.2 is the name server's"),
    "VIP is kept by AWS": ({"vip": "10.0.250.3"}, "vip 10.0.250.3 is kept by AWS"),
    "VIP is the broadcast address": ({"vip": "10.0.250.255"}, "vip 10.0.250.255 is the broadcast address"),
    "VIP is public": ({"vip": "8.8.8.8"}, "vip 8.8.8.8 is not a private address"),
    "VIP twice over": (
        {"vips": ["10.0.250.185", "10.0.250.190"]},
        "vip 10.0.250.185 is set together with vips; set only ec2vip:vips",
    ),
    "the same VIP twice": (
        {"vip": "", "vips": ["10.0.250.185", "10.0.250.185"]},
        "vips 10.0.250.185 is listed 2 times; list each address once",
    ),
    "one VIP of several outside": (
        {"vip": "", "vips": ["10.0.250.185", "10.0.9.1"]},
        "vips 10.0.9.1 is outside 10.0.250.0/24; set ec2vip:vips to an address",
    ),
    "one VIP of several is a node's": (
        {"vip": "", "vips": ["10.0.250.185", "10.0.250.187"]},
        "vips 10.0.250.187 is also in nodeIps",
    ),
    "one VIP of several is a name": ({"vip": "", "vips": ["web"]}, "vips web does not parse"),
    "one node": ({"nodeIps": ["10.0.250.186"]}, "has 1 addresses, not 2"),
    "three nodes": ({"nodeIps": ["10.0.250.6", "10.0.250.7", "10.0.250.8"]}, "has 3 addresses, not 2"),
    "the same node twice": ({"nodeIps": ["10.0.250.186"] * 2}, "nodeIps 10.0.250.186 is listed twice"),
    "a node outside": (
        {"nodeIps": ["10.0.250.186", "10.0.9.1"]},
        "nodeIps 10.0.9.1 is outside 10.0.250.0/24",
    ),
    "a node that is reserved": (
        {"nodeIps": ["10.0.250.2", "10.0.250.187"]},
        "nodeIps 10.0.250.2 is the name",
    ),
    "a node that is no address": ({"nodeIps": ["a", "10.0.250.187"]}, "nodeIps a does not parse"),
    "subnet outside the VPC": ({"vpcCidr": "10.1.0.0/16"}, "subnetCidr 10.0.250.0/24 is outside vpcCidr"),
    "subnet with host bits": ({"subnetCidr": "10.0.250.1/24"}, "subnetCidr 10.0.250.1/24 does not parse"),
    "subnet too small": ({"subnetCidr": "10.0.250.176/29"}, "prefix of /29, and AWS takes /16 to /28"),
    "VPC too large": ({"vpcCidr": "10.0.0.0/8"}, "prefix of /8, and AWS takes /16 to /28"),
    "VPC is public": (
        {"vpcCidr": "8.8.0.0/16", "subnetCidr": "8.8.8.0/24"},
        "vpcCidr 8.8.0.0/16 is not private",
    ),
    "VPC id malformed": ({"vpcCidr": "", "vpcId": "my-vpc"}, "vpcId my-vpc is not of the form"),
    "subnet id malformed": (
        {"vpcCidr": "", "subnetCidr": "", "subnetId": "sn-1"},
        "subnetId sn-1 is not of the form",
    ),
    "zone of another Region": (
        {"availabilityZone": "eu-west-1a"},
        "availabilityZone eu-west-1a is not in us-east-1",
    ),
    "no zone": ({"availabilityZone": "here"}, "availabilityZone here is not of the form"),
    "image id malformed": ({"amiId": "debian"}, "amiId debian is not of the form"),
    "instance type malformed": ({"instanceType": "large"}, "instanceType large is not of the form"),
    "unknown platform": ({"platform": "debian-12"}, "did you mean debian12?"),
    "token too short": ({"tokenMs": 100}, "tokenMs 100 is not a whole number from 500 to 30000"),
    "token too long": ({"tokenMs": 60000}, "tokenMs 60000 is not a whole number from 500 to 30000"),
    "unknown key": (
        {"instancetype": "t3.micro"},
        "instancetype is not a setting of ec2vip; did you mean instanceType?",
    ),
    "unknown key, near to none": ({"zzz": "1"}, "zzz is not a setting of ec2vip; remove ec2vip:zzz"),
    "repository is no address": (
        {"packageRepository": "mirror"},
        "packageRepository mirror is not of the form",
    ),
    "repository over plain HTTP": (
        {
            "packageRepository": "http://mirror.example",
            "packageRepositoryKey": f"https://mirror.example/key{FINGERPRINT}",
        },
        "packageRepository http://mirror.example is not of the form https://",
    ),
    "repository without its key": (
        {"packageRepository": "https://mirror.example"},
        "packageRepository https://mirror.example is set without packageRepositoryKey",
    ),
    "a repository's key alone": (
        {"packageRepositoryKey": f"https://mirror.example/key{FINGERPRINT}"},
        f"packageRepositoryKey https://mirror.example/key{FINGERPRINT} is set without packageRepository,",
    ),
    "a repository's key without its fingerprint": (
        {"packageRepository": "https://mirror.example", "packageRepositoryKey": "https://mirror.example/key"},
        "packageRepositoryKey https://mirror.example/key is not of the form https://",
    ),
    "key in plain text": (
        {"encryptionKey": "c2VjcmV0"},
        "encryptionKey is a secret, but is stored in plain text",
    ),
    "client with a typo": (
        {"clients": [{"protocl": "tcp"}]},
        "clients[0] has the unknown key protocl; did you mean",
    ),
    "client without a protocol": ({"clients": [{"ports": 443}]}, "clients[0] has the protocol None"),
    "client without ports": ({"clients": [{"protocol": "tcp"}]}, "clients[0] has no ports"),
    "client with a port too high": ({"clients": [WEB | {"ports": 70000}]}, "ports go from 1 to 65535"),
    "client with ports reversed": ({"clients": [WEB | {"ports": "90-80"}]}, "the lower one first"),
    "client with ports that are none": ({"clients": [WEB | {"ports": "https"}]}, "write a port or a range"),
    "client with no ports in its list": ({"clients": [WEB | {"ports": []}]}, "has an empty list of ports"),
    "client pinging ports": (
        {"clients": [{"protocol": "icmp", "ports": 8}]},
        "icmp has no ports; remove them",
    ),
    "client from nowhere": ({"clients": [WEB | {"cidr": "10.0.0.1/16"}]}, "has the cidr '10.0.0.1/16'"),
    "client from two places": (
        {"clients": [WEB | {"securityGroup": "sg-01234567"}]},
        "write one entry for each",
    ),
    "client from no group": (
        {"clients": [{"protocol": "tcp", "ports": 1, "securityGroup": "web"}]},
        "has the securityGroup 'web'",
    ),
    "client twice": ({"clients": [WEB, WEB]}, "from 10.0.0.0-16 2 times"),
    "service with a typo": (
        {"services": [{"unti": "nginx"}]},
        "services[0] has the unknown key unti; did you mean unit?",
    ),
    "service that is nothing": ({"services": [{"name": "x"}]}, "services[0] has neither unit nor agent"),
    "service that is two things": (
        {"services": [{"unit": "nginx", "agent": "ocf:heartbeat:nginx"}]},
        "has both unit nginx and agent ocf:heartbeat:nginx; set one",
    ),
    "service with no unit's name": (
        {"services": [{"unit": "a b"}]},
        "has the unit 'a b'; write a unit's name",
    ),
    "service that is a target": (
        {"services": [{"unit": "multi-user.target"}]},
        "has the unit multi-user.target, but the cluster runs only .service",
    ),
    "service that is a template": (
        {"services": [{"unit": "web@.service"}]},
        "web@.service, a template; name",
    ),
    "service that is the cluster": (
        {"services": [{"unit": "pacemaker.service"}]},
        "has the unit pacemaker.service, which the cluster itself needs",
    ),
    "service of no provider": (
        {"services": [{"agent": "heartbeat:Filesystem"}]},
        "has the agent 'heartbeat:Filesystem'; write it as ocf:PROVIDER:NAME",
    ),
    "service that is an address": (
        {"services": [{"agent": "ocf:heartbeat:IPaddr2"}]},
        "ocf:heartbeat:IPaddr2, which moves addresses; list the address in vips",
    ),
    "service with a VIP's name": (
        {"services": [{"unit": "nginx", "name": "vip-2"}]},
        "has the name vip-2, but the stack names its own parts vip; choose another name",
    ),
    "service with no name for a resource": (
        {"services": [{"unit": "nginx", "name": "1st"}]},
        "has the name '1st'; set name to letters",
    ),
    "service twice": (
        {"services": [{"unit": "nginx"}, {"unit": "nginx.service"}]},
        "services has two entries named nginx",
    ),
    "unit with parameters": (
        {"services": [{"unit": "nginx", "parameters": {"port": 80}}]},
        "has parameters, but a systemd unit takes none",
    ),
    "service whose parameters are none": (
        {"services": [{"agent": "ocf:heartbeat:Dummy", "parameters": "x=1"}]},
        "has the parameters 'x=1'; write a mapping",
    ),
    "service with a parameter of two lines": (
        {"services": [{"agent": "ocf:heartbeat:Dummy", "parameters": {"x": "1\n2"}}]},
        "has the parameter x '1\\n2'; set it to one line",
    ),
    "service with a package's version": (
        {"services": [{"unit": "nginx", "packages": ["nginx=1.2"]}]},
        "has the package 'nginx=1.2'; write its name alone",
    ),
    "service with a time-out that is none": (
        {"services": [{"unit": "nginx", "timeouts": {"start": "60s"}}]},
        "has the timeouts.start '60s', which is not a whole number from 1 to 3600",
    ),
    "service with a time-out of nothing": (
        {"services": [{"unit": "nginx", "timeouts": {"begin": 60}}]},
        "has the unknown key timeouts.begin; use start, stop, monitor",
    ),
    "service that moves perhaps": (
        {"services": [{"unit": "nginx", "movesVip": "perhaps"}]},
        "has the movesVip 'perhaps'; set it to true or false",
    ),
    "repository that is a list of addresses": (
        {
            "packageRepository": "https://a.example,file:///b",
            "packageRepositoryKey": "https://mirror.example/key",
        },
        "packageRepository https://a.example,file:///b is not of the form https://",
    ),
    "repository with a password": (
        {
            "packageRepository": "https://me:hunter2@mirror.example",
            "packageRepositoryKey": "https://mirror.example/key",
        },
        "packageRepository contains a user name or a password, but the nodes get",
    ),
    "the SSM agent on Debian": (
        {"ssm": True},
        "ssm true needs the SSM agent, but the image of debian12 lacks it; set ec2vip:platform to al2023",
    ),
    "client at Corosync's port": (
        {"clients": [{"protocol": "udp", "ports": "5000-6000", "cidr": "10.0.0.0/16"}]},
        "clients[0] has the udp ports 5000-6000, but 5405 is Corosync's",
    ),
    "too many clients for the nodes' group": (
        {"clients": [WEB | {"cidr": f"10.0.{n}.0/24"} for n in range(59)]},
        "clients needs 61 rules in the nodes' group, but EC2 takes 60 by default; join",
    ),
    "too many clients for the clients' group": (
        {"clients": [{"protocol": "tcp", "ports": list(range(1, 62))}]},
        "clients needs 61 rules in the clients' group, but EC2 takes 60 by default; join",
    ),
    "service with a package to remove": (
        {"services": [{"unit": "nginx", "packages": ["iproute2-"]}]},
        "has the package 'iproute2-'; write its name alone",
    ),
    "service with a package that ends in plus": (
        {"services": [{"unit": "nginx", "packages": ["nginx+"]}]},
        "has the package 'nginx+'; write its name alone",
    ),
    "service with the name of a VIP's group": (
        {"services": [{"unit": "nginx", "name": "vip-group-2"}]},
        "has the name vip-group-2, but the stack names its own parts vip",
    ),
    "service with the name of the agent's constraint": (
        {"services": [{"unit": "nginx", "name": "ec2vip-taker"}]},
        "has the name ec2vip-taker, but the stack names its own parts ec2vip",
    ),
    "service with the name of the cluster's properties": (
        {"services": [{"unit": "nginx", "name": "cib-bootstrap-options"}]},
        "has the name cib-bootstrap-options, but the stack names its own parts cib-bootstrap-options",
    ),
    "service with the name of another's operation": (
        {"services": [{"unit": "nginx"}, {"unit": "web", "name": "nginx-monitor-interval-10s"}]},
        "has the name nginx-monitor-interval-10s, but pcs names a resource's parts like that",
    ),
    "service with a parameter of nothing": (
        {"services": [{"agent": "ocf:heartbeat:Dummy", "parameters": {"x": " "}}]},
        "has the parameter x ' '; set it to one line",
    ),
    "service that is the guard": (
        {"services": [{"unit": "ec2vip-guard"}]},
        "has the unit ec2vip-guard, which the cluster itself needs",
    ),
    "service that is systemd's": (
        {"services": [{"unit": "systemd-journald.socket"}]},
        "has the unit systemd-journald.socket, which the cluster itself needs",
    ),
    "service that is the network": (
        {"services": [{"unit": "networking"}]},
        "has the unit networking, which the cluster itself needs",
    ),
    "service that is cloud-init": (
        {"services": [{"unit": "cloud-final.service"}]},
        "has the unit cloud-final.service, which the cluster itself needs",
    ),
    "service that is the bus": (
        {"services": [{"unit": "dbus.socket"}]},
        "has the unit dbus.socket, which the cluster itself needs",
    ),
    "service that is EC2's network": (
        {"services": [{"unit": "policy-routes@ens5"}]},
        "has the unit policy-routes@ens5, which the cluster itself needs",
    ),
    "service of an unknown kind": (
        {"services": [{"unit": "foo.bar"}]},
        "has the unit foo.bar, but the cluster runs only .service",
    ),
    "tags that differ only in case": (
        {"tags": {"Team": "a", "team": "b"}},
        "tags team differs from Team only in upper and lower case, so IAM takes it for a duplicate",
    ),
    "tag that is the stack's but for case": (
        {"tags": {"name": "mine"}},
        "tags name differs from Name only in upper and lower case",
    ),
    "tag with a character that IAM does not take": (
        {"tags": {"team": "R&D"}},
        "tags R&D has '&', but all AWS services take only letters, digits, spaces and _.:/=+-@",
    ),
    "tag's key with a character that IAM does not take": (
        {"tags": {"team(old)": "x"}},
        "tags team(old) has '()', but all AWS services take only letters, digits",
    ),
    "tag of AWS's": ({"tags": {"aws:x": "1"}}, "tags aws:x starts with aws:"),
    "tag of the stack's": ({"tags": {"Name": "mine"}}, "tags Name is one of the stack's own"),
    "tag that is no text": (
        {"tags": {"cost": {"center": 1}}},
        "is not a text; put the value of cost in quotes",
    ),
    "tag too long": ({"tags": {"note": "x" * 257}}, "tags note has 257 characters, and AWS takes 256"),
    "too many tags": ({"tags": {f"t{n}": "x" for n in range(49)}}, "tags has 49 entries"),
}
"""By name: the difference from the good settings, and a part of the message."""

RAW: dict[str, tuple[dict[str, str], str]] = {
    "nodes of a space": ({"nodeIps": " "}, "nodeIps is not set, and is required"),
    "nodes of an empty list": ({"nodeIps": "[ ]"}, "nodeIps is not set, and is required"),
    "a token of 5000 digits": ({"tokenMs": "9" * 5000}, "is not a whole number from 500 to 30000"),
    "clients nested too deep": ({"clients": "[" * 100_000}, "is not a list"),
    "tags nested too deep": ({"tags": '{"a":' * 100 + "1" + "}" * 100}, "is not a mapping"),
    "a subnet of one address": ({"subnetCidr": "10.0.250.185/32"}, "prefix of /32, and AWS takes /16 to /28"),
    "a parameter with a control character": (
        {"services": '[{"agent": "ocf:heartbeat:Dummy", "parameters": {"x": "a\\u001bb"}}]'},
        "has the parameter x 'a\\x1bb'; set it to one line",
    ),
    "a parameter with half a character": (
        {"services": '[{"agent": "ocf:heartbeat:Dummy", "parameters": {"x": "\\ud800"}}]'},
        "has the parameter x '\\ud800'; set it to one line",
    ),
    "a tag with an emoji": (
        {"tags": '{"team": "😀"}'},
        "tags 😀 has '😀', but all AWS services take only letters",
    ),
    "a setting of a megabyte": ({"vip": "1" * 1_000_000}, "does not parse"),
}
"""Texts that Pulumi itself would refuse because of their type, or that no terminal shows as they are."""

SECRETS: dict[str, tuple[str, str]] = {
    "not ASCII": ("ké" * 100, "encryptionKey is not base64"),
    "not base64": ("not base64!", "encryptionKey is not base64"),
    "too short": (
        base64.b64encode(b"x" * 127).decode(),
        "encryptionKey has 127 bytes, but Corosync and the parameter that holds the key take 128",
    ),
    "too long": (
        base64.b64encode(b"x" * 3073).decode(),
        "encryptionKey has 3073 bytes, but Corosync and the parameter that holds the key take 128 to 3072",
    ),
}
"""Bad encryption keys that are set as secrets, and a part of the message."""


def as_pulumi_gives_them(settings: dict[str, Any]) -> dict[str, str]:
    """Settings as texts; lists, mappings and truth values become JSON."""
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in settings.items()}
