SET ROLE headway_owner;
-- New ones, by their age; and those that wait until their run listens, in the order in which they go round.
DROP INDEX headway.child_run_unsettled;
CREATE INDEX child_run_unsettled ON headway.child_run (shard, requested_at) WHERE NOT settled AND refused = '';
CREATE INDEX child_run_refused ON headway.child_run (run) WHERE NOT settled AND refused <> '';
