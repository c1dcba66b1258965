SET ROLE headway_owner;
-- A run that asks again for what it was refused, on an agent without its journal, is told so again: its row is carried out once more.
GRANT UPDATE (settled) ON headway.child_run TO headway_committer;
