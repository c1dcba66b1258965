from headway_control_plane.log.upcast import UPCASTERS, Upcasters, decode_any


def test_steps_are_chained_to_the_newest_version():
    steps = Upcasters({("T", 1): lambda b: b + b"1", ("T", 2): lambda b: b + b"2"})
    assert steps.newest("T") == 3
    assert steps.newest("U") == 1
    assert steps.upcast("T", 1, b"") == b"12"
    assert steps.upcast("T", 2, b"") == b"2"
    assert steps.upcast("T", 3, b"x") == b"x"


def test_an_old_event_is_decoded_in_its_newest_form():
    from headway_api.event.v1 import control_pb2

    def renamed(payload: bytes) -> bytes:
        old = control_pb2.WorkspaceCreated.FromString(payload)
        return control_pb2.WorkspaceCreated(name=old.name.upper()).SerializeToString()

    payload = control_pb2.WorkspaceCreated(name="acme").SerializeToString()
    steps = Upcasters({("WorkspaceCreated", 1): renamed})
    assert decode_any("WorkspaceCreated", 1, payload, steps).name == "ACME"
    assert decode_any("WorkspaceCreated", 2, payload, steps).name == "acme"


def test_a_version_from_the_future_decodes_to_nothing():
    assert decode_any("WorkspaceCreated", UPCASTERS.newest("WorkspaceCreated") + 1, b"") is None
    assert decode_any("WorkspaceCreated", 0, b"") is None
