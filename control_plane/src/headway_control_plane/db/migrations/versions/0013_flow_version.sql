-- Empty: none was said, or nobody asked for it yet when the row was written.
SET ROLE headway_owner;
ALTER TABLE headway.deployment ADD COLUMN flow_version text NOT NULL DEFAULT '';
ALTER TABLE headway.run ADD COLUMN flow_version text NOT NULL DEFAULT '';
