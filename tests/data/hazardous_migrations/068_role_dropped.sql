drop role reporting;
-- caught: drop-role irreversible caution
