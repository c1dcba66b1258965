"""Bugs that somebody could plant, and the test that must notice each. `old` stands exactly once in its file."""

from __future__ import annotations

from dataclasses import dataclass

CONTROL = "control_plane/src/headway_control_plane"
AGENT = "execution_agent/src/headway_agent"
SDK = "sdk/src/headway"


@dataclass(frozen=True)
class Mutation:
    name: str
    file: str
    changes: tuple[tuple[str, str], ...]
    caught_by: str

    def __str__(self) -> str:
        return self.name.replace(" ", "-")


MUTATIONS = (
    Mutation(
        "skip the fence",
        f"{CONTROL}/domain/attempt/admission.py",
        (("if attempt.fence != run_fence or not attempt.is_open:", "if False:"),),
        "tests/integration/log/test_log_facts.py::test_mutation_skip_the_fence_check",
    ),
    Mutation(
        "ack before commit",
        f"{CONTROL}/log/flush.py",
        (
            (
                "            raise OutcomeUnknown(flushed, _proof(heads)) from error\n",
                "            return\n",
            ),
        ),
        "tests/integration/log/test_log_outages.py::test_mutation_ack_before_commit",
    ),
    Mutation(
        "merge the head lock into what follows it",
        f"{CONTROL}/log/flush.py",
        (
            ("            await loader.send(connection, wanted)\n", ""),
            (
                "            heads, time = await lock_heads(connection, workspaces)\n            epochs",
                "            await loader.send(connection, wanted)\n            heads, time = await lock_heads(connection, workspaces)\n            epochs",
            ),
        ),
        "tests/integration/log/test_log_concurrency.py::test_mutation_merge_the_head_lock_into_the_insert",
    ),
    Mutation(
        "trim one too many",
        f"{AGENT}/core/resume.py",
        (
            (
                "    acked = max(position.acked, min(last, position.durable))\n    return replace(position, sent=min(last",
                "    acked = max(position.acked, min(last + 1, position.durable))\n    return replace(position, sent=min(last",
            ),
        ),
        "tests/unit/agent/test_agent_core_resume.py",
    ),
    Mutation(
        "journal entry after instead of with the frame",
        f"{SDK}/runtime/reporter.py",
        (
            (
                '            frame["durable"] = "sync"\n        self._send(frame)\n',
                '            frame["durable"] = "sync"\n        held, self._describe.held = getattr(self._describe, "held", None), frame\n'
                "        if held:\n            self._send(held)\n",
            ),
        ),
        "tests/unit/sdk/test_run_calls.py::test_a_process_that_dies_after_a_call_leaves_it_in_the_journal",
    ),
    Mutation(
        "a gap is taken for the next fact",
        f"{CONTROL}/domain/attempt/admission.py",
        (("if first_seq > known + 1:", "if first_seq > known + 2:"),),
        "tests/unit/domain/test_admission.py",
    ),
    Mutation(
        "a loss raises the fence",
        f"{CONTROL}/domain/run/evolve.py",
        (
            (
                "                moved,\n                reason=RESCHEDULED_REASONS",
                "                moved,\n                fence=state.fence + 1,\n                reason=RESCHEDULED_REASONS",
            ),
        ),
        "tests/unit/domain/test_run_walks.py",
    ),
    Mutation(
        "a cancelled run is granted again",
        f"{CONTROL}/domain/run/decide.py",
        (
            (
                '    if run.status is RunStatus.CANCELLING:\n        return RunCancelled(run.fence, "death unconfirmed")\n    match run.on_lost:',
                "    match run.on_lost:",
            ),
        ),
        "tests/unit/domain/test_run_life.py",
    ),
    Mutation(
        "an expired session still gets work",
        f"{CONTROL}/domain/run/decide.py",
        (
            (
                "    return session.expires_at is None or session.expires_at > context.now",
                "    return True",
            ),
        ),
        "tests/unit/domain/test_run_life.py",
    ),
    Mutation(
        "the chain leaves out the payload",
        f"{CONTROL}/log/verify.py",
        (("[(body, sha256(event.payload).digest())]", "[(body, b'')]"),),
        "tests/integration/log/test_log_verify.py",
    ),
)
