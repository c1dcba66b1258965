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
                "                moved,\n                home=home,\n                deadline=_home_deadline",
                "                moved,\n                fence=state.fence + 1,\n                home=home,\n                deadline=_home_deadline",
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
    Mutation(
        "a lease is trusted to its very end",
        f"{AGENT}/core/lease.py",
        (
            (
                "        trusted_until=max(state.trusted_until, sent_at + ttl - margin(ttl)),\n        ttl=ttl,\n        interval=max(interval",
                "        trusted_until=max(state.trusted_until, sent_at + ttl),\n        ttl=ttl,\n        interval=max(interval",
            ),
        ),
        "tests/unit/agent/test_agent_core_session.py",
    ),
    Mutation(
        "an answer from a lost stream proves a lease",
        f"{AGENT}/core/lease.py",
        (
            (
                "    sent_at = state.asked.get(number)\n",
                "    sent_at = state.asked.get(number, state.next_at)\n",
            ),
        ),
        "tests/unit/agent/test_agent_core_session.py",
    ),
    Mutation(
        "the brake never holds",
        f"{CONTROL}/domain/brake.py",
        (("LEAST_LOST = 3", "LEAST_LOST = 3_000_000"),),
        "tests/unit/control_plane_dispatch/test_brake.py",
    ),
    Mutation(
        "a pool's limit is forgotten",
        f"{CONTROL}/domain/dispatching_pool.py",
        (
            (
                "return by_sessions if self.slots == 0 else min(by_sessions, self.slots - len(self.held))",
                "return by_sessions",
            ),
        ),
        "tests/unit/domain/test_dispatching.py",
    ),
    Mutation(
        "waiting runs do not age",
        f"{CONTROL}/domain/dispatching.py",
        (
            (
                "level = max(1, head.priority - int((now - head.due_at) / AGEING))",
                "level = head.priority",
            ),
        ),
        "tests/unit/domain/test_dispatching.py",
    ),
    Mutation(
        "a damaged record is believed",
        f"{SDK}/runtime/frames_log.py",
        (
            (
                "if zlib.crc32(raw, zlib.crc32(NUMBER.pack(n))) != crc:",
                "if zlib.crc32(raw, zlib.crc32(NUMBER.pack(n))) != crc and not raw:",
            ),
        ),
        "tests/unit/sdk_runtime/test_frames_log.py",
    ),
    Mutation(
        "a torn tail stays in the file",
        f"{SDK}/runtime/frames_log.py",
        (("            os.ftruncate(fd, position.offset)\n", ""),),
        "tests/unit/sdk_runtime/test_frames_log.py",
    ),
    Mutation(
        "a failed sync is tried again",
        f"{SDK}/runtime/frames_log.py",
        (("            self._broken = True\n", ""),),
        "tests/unit/sdk_runtime/test_frames_log.py",
    ),
    Mutation(
        "the encoder asks no pool",
        f"{AGENT}/connection/encoder.py",
        (
            (
                "for name, get in fields.items() if _permitted(message, name, permits))",
                "for name, get in fields.items())",
            ),
        ),
        "tests/unit/agent/test_agent_encoder.py",
    ),
    Mutation(
        "equal calls share one key",
        f"{SDK}/digests.py",
        (('{digest}\\0{ordinal}"', '{digest}"'),),
        "tests/unit/sdk/test_sdk_payloads.py",
    ),
    Mutation(
        "calls of different parents share one key",
        f"{SDK}/digests.py",
        (('f"{parent}\\0{name}', 'f"{name}'),),
        "tests/unit/sdk/test_sdk_payloads.py",
    ),
    Mutation(
        "an attempt that was closed still fills the log",
        f"{CONTROL}/domain/attempt/admission.py",
        (
            (
                "if attempt.fence != run_fence or not attempt.is_open:",
                "if attempt.fence != run_fence:",
            ),
        ),
        "tests/unit/domain/test_admission.py",
    ),
    Mutation(
        "a fact that is known is taken again",
        f"{CONTROL}/domain/attempt/admission.py",
        (("max(0, known + 1 - first_seq)", "max(0, known - first_seq)"),),
        "tests/unit/domain/test_admission.py",
    ),
    Mutation(
        "a cancel never kills",
        f"{SDK}/runtime/decisions.py",
        (("if state.step == 1 and event", "if state.step >= 1 and event"),),
        "tests/unit/sdk_runtime/test_decisions.py",
    ),
    Mutation(
        "a COMMIT that rolled back counts as one",
        f"{CONTROL}/log/flush.py",
        (('if committed.statusmessage != "COMMIT":', "if not committed.statusmessage:"),),
        "tests/integration/log/test_log_outages.py",
    ),
    Mutation(
        "an unknown outcome counts as a failure",
        f"{CONTROL}/log/flush.py",
        (
            (
                "            return await found.fetchone() is not None",
                "            return await found.fetchone() is None and False",
            ),
        ),
        "tests/integration/log/test_log_outages.py",
    ),
    Mutation(
        "an idempotency key is forgotten",
        f"{CONTROL}/log/draft.py",
        (("            self._remember(item.ws, item.dedupe)\n", ""),),
        "tests/integration/log/test_log_commands.py",
    ),
    Mutation(
        "an assertion can be used twice",
        f"{CONTROL}/grpc_api/assertion.py",
        (("        self._seen[key] = claims.expires_at\n", ""),),
        "tests/unit/control_plane_grpc/test_assertion.py",
    ),
    Mutation(
        "row-level security does not bind the owner",
        f"{CONTROL}/db/migrations/versions/0001_foundation.sql",
        (("    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);\n", ""),),
        "tests/integration/log/test_log_row_security.py",
    ),
    Mutation(
        "a checkpoint runs ahead of its rows",
        f"{CONTROL}/projections/advance.py",
        (
            (
                "cursor: Cursor = events[-1].cursor if events else held.cursor",
                "cursor: Cursor = (\n        dataclasses.replace(events[-1].cursor, offset=events[-1].cursor.offset + 1)\n        if events\n        else held.cursor\n    )",
            ),
        ),
        "tests/integration/projections/test_projection_engine.py",
    ),
    Mutation(
        "a child that ends tells nobody",
        f"{CONTROL}/domain/decide.py",
        (("[*decided, *children.answers_to_parents(decided, states, context)]", "decided"),),
        "tests/unit/domain/test_run_children.py",
    ),
    Mutation(
        "who begins to wait does not ask who has ended",
        f"{CONTROL}/domain/run/waits.py",
        (("children.answers_of_ended(run.run, waits, answered, states, context)", "[]"),),
        "tests/unit/domain/test_run_children.py",
    ),
    Mutation(
        "a second answer counts",
        f"{CONTROL}/domain/run/waits.py",
        (("if any(call == command.call for call, _ in run.answers):", "if False:"),),
        "tests/unit/domain",
    ),
    Mutation(
        "who asks again after a refusal is not heard",
        f"{CONTROL}/log/rows_children.py",
        (
            (
                "\"UPDATE SET settled = false WHERE child_run.settled AND child_run.refused <> ''\"",
                '"NOTHING"',
            ),
        ),
        "tests/integration/log/test_children_service.py",
    ),
    Mutation(
        "an answer writes again what its run waits for",
        f"{CONTROL}/log/rows_runs.py",
        (("        return UNCHANGED\n", "        return _WRITTEN[column](value)\n"),),
        "tests/integration/log/test_log_children.py",
    ),
    Mutation(
        "an answer writes again those that came before it",
        f"{CONTROL}/log/rows_answers.py",
        (("if answer not in kept]", "if kept or True]"),),
        "tests/integration/log/test_run_answers.py",
    ),
    Mutation(
        "an attempt begins before its answers are there",
        f"{AGENT}/loops/session_loop.py",
        (("        if answers_follow:\n", "        if answers_follow < 0:\n"),),
        "tests/integration/agent/test_answers_that_follow.py",
    ),
    Mutation(
        "who is not told all of its runs asks for a second one",
        f"{SDK}/runtime/asked_runs.py",
        (("asked is None and self._cut", "False"),),
        "tests/unit/sdk/test_run_lost_attempts.py",
    ),
    Mutation(
        "a slot that is not left is given away",
        f"{CONTROL}/domain/run/decide.py",
        (("attempt.is_open and attempt.session == session", "False"),),
        "tests/unit/domain/test_run_life.py",
    ),
    Mutation(
        "a grant ahead that is refused keeps its slot",
        f"{CONTROL}/dispatch/dispatcher.py",
        (("                        view.granted_ahead(run)\n", "                        pass\n"),),
        "tests/integration/dispatch/test_grants_ahead.py",
    ),
    Mutation(
        "an end that did not come leaves its slot",
        f"{CONTROL}/domain/dispatching.py",
        (
            (
                "            for held in (session.held, pool.held):\n                held.add(end.run)\n",
                "            pass\n",
            ),
        ),
        "tests/unit/domain/test_grants_ahead.py",
    ),
)
