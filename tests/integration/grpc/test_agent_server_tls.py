"""Beyond loopback agents are served with TLS or not at all."""

import datetime as dt
import ipaddress

import grpc
import grpc.aio
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from headway_control_plane.grpc_api.server import Unprotected
from headway_control_plane.grpc_api.settings import Tls
from support.fake_agent import FakeAgent
from support.replica import fast_settings, new_world, open_replica

pytestmark = pytest.mark.postgres


def self_signed() -> Tls:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Tls(
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )


async def test_other_machines_are_not_served_in_clear_text(database) -> None:
    with pytest.raises(Unprotected, match="TLS"):
        async with open_replica(database.url, fast_settings(address="0.0.0.0:0")):
            pass


async def test_a_proxy_that_does_tls_may_stand_in_front(database) -> None:
    settings = fast_settings(address="0.0.0.0:0", behind_tls_proxy=True)
    async with open_replica(database.url, settings) as replica:
        assert replica.parts.server.port


async def test_agents_are_served_with_tls(database) -> None:
    tls = self_signed()
    settings = fast_settings(address="0.0.0.0:0", tls=tls)
    async with open_replica(database.url, settings) as replica, new_world(replica) as world:
        credentials = grpc.ssl_channel_credentials(tls.certificate)
        async with grpc.aio.secure_channel(replica.target, credentials) as channel:
            agent = FakeAgent(replica.target, await world.identity(), channel=channel)
            await agent.connect()
            run = await world.create_run()
            await agent.complete(await agent.assigned(run))
            assert await world.status(run) == "completed"
            await agent.cut()
        clear = await world.agent()
        clear.dial()
        assert (await clear.until_ended()).code is grpc.StatusCode.UNAVAILABLE


def test_the_private_key_is_not_printed() -> None:
    assert "PRIVATE KEY" not in repr(self_signed())
