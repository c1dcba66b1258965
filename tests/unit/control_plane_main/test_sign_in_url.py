"""The address that signs a browser in."""

from urllib.parse import parse_qs, urlsplit

from headway_control_plane.main.profile import Profile


def test_it_holds_the_token_and_the_page() -> None:
    profile = Profile("http://127.0.0.1:4200", "headway_key_a+b/c=")
    address = urlsplit(profile.sign_in_url("/runs/0199"))
    assert address.path == "/login"
    assert parse_qs(address.query) == {"token": ["headway_key_a+b/c="], "next": ["/runs/0199"]}
    assert "next" not in profile.sign_in_url()
