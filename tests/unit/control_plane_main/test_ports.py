"""Ports that somebody has are avoided where nobody needs to find us at the usual place."""

import socket

from headway_control_plane.main.ports import avoiding_taken_ports, with_chosen_ports
from headway_control_plane.settings import Settings


def test_a_demonstration_runs_beside_whatever_has_the_usual_ports():
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        socket.create_server(("127.0.0.1", 0)) as other,
    ):
        port, free = taken.getsockname()[1], other.getsockname()[1]
        other.close()
        settings = avoiding_taken_ports(Settings(http_port=port, grpc_port=free))
        assert (settings.http_port, settings.grpc_port) == (0, free)
        assert with_chosen_ports(settings).http_port not in {0, port}
