SET ROLE headway_owner;
-- Calls that wait with their suspended run, apart from those that were interrupted. A constant default: no row is written anew. What was folded
-- before counts under `interrupted` until the read model is rebuilt.
ALTER TABLE headway.task_counts ADD COLUMN paused integer NOT NULL DEFAULT 0;
