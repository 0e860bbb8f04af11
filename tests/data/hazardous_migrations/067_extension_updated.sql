alter extension vector update;
-- caught: extension-updated irreversible caution
