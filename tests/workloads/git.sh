# git over the file system: init, add, commit, log, branch, merge, clone, gc, bisect.
set -euo pipefail
export HOME=/tmp GIT_AUTHOR_DATE='1600000000 +0000' GIT_COMMITTER_DATE='1600000000 +0000' GIT_CONFIG_NOSYSTEM=1
cd /tmp; git config --global user.email a@b; git config --global user.name t; git config --global init.defaultBranch main
git init -q repo; cd repo
for n in $(seq 1 100); do echo "file $n" > f$n; done
git add .; git commit -qm first; git rev-parse HEAD
for n in 1 2 3; do echo more >> f$n; git commit -qam "change $n"; done
git log --oneline | wc -l; git log -1 --format=%T
git checkout -qb side HEAD~2; echo side > side; git add side; git commit -qm side
git checkout -q main; git merge -q --no-edit side; git log -1 --format=%T
git status --short | wc -l; git diff --stat HEAD~1 | tail -n 1
git clone -q file:///tmp/repo ../copy; cd ../copy; git log --oneline | wc -l; git fsck 2>&1 | grep -c error || true
echo push > new; git add new; git commit -qm new; git push -q origin HEAD:refs/heads/pushed; git -C ../repo rev-parse pushed
cd ../repo; git gc -q; git count-objects -v | grep -E '^(packs|count)'
git tag v1; git archive v1 | tar t | wc -l; git stash list | wc -l; git grep -c more | wc -l
