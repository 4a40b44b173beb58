#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Installs joinery into an empty prefix, then builds and runs programs that use it, each as its users do.

pkg_config: pkg-config and the compiler; shared and static.
cmake:      find_package(joinery); shared and static.
meson:      joinery as a subproject.

The prefix is not the one that the build was configured for, so this also shows that what was installed
can be moved.
"""
import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys

COMPONENTS = ("sqlite", "zmq", "zstd", "sodium")  # as far as the build that is installed has them


def run(*command, **environment):
    """Runs a command; on failure prints what it said and gives up."""
    command = [str(c) for c in command]
    done = subprocess.run(command, env={**os.environ, **environment},
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        print("failed:", " ".join(command), *(f"{k}={v}" for k, v in environment.items()))
        print(done.stdout)
        sys.exit(1)
    return done.stdout


def option(build, name):
    options = json.loads(run("meson", "introspect", "--buildoptions", build))
    return next(o["value"] for o in options if o["name"] == name)


def install(build, stage):
    """Installs under `stage`; gives the prefix and the library folder there."""
    shutil.rmtree(stage, ignore_errors=True)
    run("meson", "install", "-C", build, "--no-rebuild", "--quiet", "--destdir", stage)
    prefix = stage / option(build, "prefix").lstrip("/")
    return prefix, prefix / option(build, "libdir")


def pkg_config(consumer, libs, components, work):
    environment = {"PKG_CONFIG_PATH": str(libs / "pkgconfig")}
    modules = ["joinery", *(f"joinery-{c}" for c in components)]
    sources = sorted(consumer.glob("*.cpp"))
    compiler = ["g++", "-std=c++20", "-Wall", "-Wextra", "-Werror", *sources]

    flags = run("pkg-config", "--cflags", "--libs", *modules, **environment).split()
    run(*compiler, "-o", work / "shared", *flags)
    print(run(work / "shared", LD_LIBRARY_PATH=str(libs)), end="")

    # joinery alone: the static libraries of SQLite and ZeroMQ need more than Debian's packages bring.
    flags = run("pkg-config", "--static", "--cflags", "--libs", "joinery", **environment).split()
    flags = ["-l:libjoinery.a" if f == "-ljoinery" else f for f in flags]
    run(*compiler, "-o", work / "static", *flags)
    print(run(work / "static"), end="")


def cmake(consumer, prefix, components, work):
    for kind, static in (("shared", "OFF"), ("static", "ON")):
        build = work / kind
        run("cmake", "-S", consumer, "-B", build, "-G", "Ninja", f"-DCMAKE_PREFIX_PATH={prefix}",
            f"-Djoinery_USE_STATIC={static}", f"-DCOMPONENTS={';'.join(components)}")
        run("cmake", "--build", build)
        print(run(build / "consumer"), end="")


def meson(consumer, source, components, work):
    project = work / "project"
    build = work / "build"
    project.mkdir()
    for file in consumer.iterdir():
        shutil.copy(file, project)
    (project / "subprojects").mkdir()
    (project / "subprojects/joinery").symlink_to(source)
    # Unity builds: nothing here is built twice, and this takes half the time. Then precompiling headers does not pay.
    run("meson", "setup", build, project, "-Dbuildtype=plain", "-Dunity=subprojects", "-Dunity_size=16", "-Db_pch=false",
        "-Djoinery:default_library=shared", f"-Dcomponents={','.join(components)}",
        *(f"-Djoinery:{c}={'enabled' if c in components else 'disabled'}" for c in COMPONENTS))
    run("ninja", "-C", build)
    print(run(build / "consumer"), end="")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", type=pathlib.Path, required=True)
    parser.add_argument("--build", type=pathlib.Path, required=True)
    args = parser.parse_args()

    here = args.source / "tests/consumers"
    work = args.build / "consumers"
    prefix, libs = install(args.build, work / "stage")
    for name in ("pkg_config", "cmake", "meson"):
        shutil.rmtree(work / name, ignore_errors=True)
        (work / name).mkdir(parents=True)
    components = [c for c in COMPONENTS if (libs / f"pkgconfig/joinery-{c}.pc").exists()]
    pkg_config(here / "pkg_config", libs, components, work / "pkg_config")
    cmake(here / "cmake", prefix, components, work / "cmake")
    meson(here / "meson", args.source, components, work / "meson")


if __name__ == "__main__":
    main()
