-- An assertion names an agent and no workspace, and anybody may send one: to look it up must not cost more with every workspace.
SET ROLE headway_owner;
CREATE INDEX agent_id ON headway.agent (agent);
