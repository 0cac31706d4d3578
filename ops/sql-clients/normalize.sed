s/\x1b\[[0-9;]*m//g
/^SLF4J/d
/WARNING: /d
/org.jline/d
/^Command history file/d
/^\[INFO\] Executing SQL from file/d
/^$/d
