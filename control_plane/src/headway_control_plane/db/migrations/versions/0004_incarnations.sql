-- Which of its agent's processes a session is of; 0: of an agent that does not count them.
SET ROLE headway_owner;
ALTER TABLE headway.session ADD COLUMN incarnation bigint NOT NULL DEFAULT 0;
