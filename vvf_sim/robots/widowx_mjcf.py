# SPDX-License-Identifier: Apache-2.0
"""MJCF of the primitive WidowX 250 6-DoF; see `vvf_sim.robots.widowx`."""

MJCF = """
<mujoco model="wx250s">
  <compiler angle="radian" autolimits="true"/>
  <option timestep="0.004" integrator="implicitfast" cone="elliptic" impratio="10"/>
  <default>
    <default class="arm">
      <joint axis="0 1 0" damping="1.0" frictionloss="0.05" armature="0.1"/>
      <position kp="150" dampratio="1" inheritrange="1" forcerange="-35 35"/>
      <geom rgba=".13 .13 .14 1" contype="0" conaffinity="0" density="0" group="2"/>
      <default class="solid"><geom contype="1" conaffinity="2" group="2"/></default>
      <default class="pad">
        <geom type="box" size=".016 .005 .011" rgba=".24 .24 .27 1" contype="1" conaffinity="2"
              group="2" condim="4" friction="1.6 .02 .0005" solref=".01 1"
              solimp=".95 .99 .001" priority="1"/>
      </default>
      <default class="finger">
        <joint type="slide" damping="5" armature=".01" frictionloss="0"/>
        <geom type="box" size=".016 .006 .012" contype="1" conaffinity="2" group="2"/>
      </default>
    </default>
  </default>
  <worldbody>
    <body name="base_link" childclass="arm" gravcomp="1">
      <inertial pos="-.038 0 .0193" mass=".5387" diaginertia=".0025 .0021 .0007"/>
      <geom type="box" size=".075 .055 .02" pos="-.03 0 .02"/>
      <geom type="cylinder" size=".045 .018" pos="0 0 .055"/>
      <body name="shoulder_link" pos="0 0 .072" gravcomp="1">
        <inertial pos="0 0 .0066" mass=".4809" diaginertia=".00059 .00056 .00038"/>
        <joint name="waist" axis="0 0 1" range="-3.14158265 3.14158265"/>
        <geom type="box" size=".03 .045 .03" pos="0 0 .028"/>
        <body name="upper_arm_link" pos="0 0 .03865" gravcomp="1">
          <inertial pos=".0172 0 .1913" mass=".4308" diaginertia=".0036 .0034 .0004"/>
          <joint name="shoulder" range="-1.88495559 1.98967535"/>
          <geom type="cylinder" size=".03 .04" euler="1.57079633 0 0"/>
          <geom type="box" size=".018 .03 .125" pos="0 0 .125"/>
          <geom type="box" size=".04 .03 .018" pos=".025 0 .25"/>
          <body name="upper_forearm_link" pos=".04975 0 .25" gravcomp="1">
            <inertial pos=".108 0 0" mass=".2346" diaginertia=".00089 .00089 .00004"/>
            <joint name="elbow" range="-2.14675498 1.60570291"/>
            <geom type="cylinder" size=".028 .035" euler="1.57079633 0 0"/>
            <geom class="solid" type="box" size=".0875 .02 .02" pos=".0875 0 0"/>
            <body name="lower_forearm_link" pos=".175 0 0" gravcomp="1">
              <inertial pos=".0374 .005 0" mass=".221" diaginertia=".00018 .00017 .00006"/>
              <joint name="forearm_roll" axis="1 0 0" range="-3.14158265 3.14158265"/>
              <geom class="solid" type="capsule" size=".024" fromto="0 0 0 .06 0 0"/>
              <body name="wrist_link" pos=".075 0 0" gravcomp="1">
                <inertial pos=".042 0 .01" mass=".085" diaginertia=".000033 .000031 .000027"/>
                <joint name="wrist_angle" range="-1.74532925 2.14675498"/>
                <geom type="cylinder" size=".02 .025" euler="1.57079633 0 0"/>
                <geom class="solid" type="box" size=".03 .018 .018" pos=".035 0 0"/>
                <body name="gripper_link" pos=".065 0 0" gravcomp="1">
                  <inertial pos=".0325 0 .009" mass=".11" diaginertia=".0003 .0003 .0003"/>
                  <joint name="wrist_rotate" axis="1 0 0" range="-3.14158265 3.14158265"/>
                  <geom class="solid" type="box" size=".025 .03 .022" pos=".02 0 0"/>
                  <geom class="solid" type="box" size=".007 .055 .016" pos=".048 0 0"/>
                  <site name="ee" pos=".093575 0 0" size=".004" group="4"/>
                  <body name="left_finger_link" pos=".066 0 0" gravcomp="1" childclass="finger">
                    <inertial pos=".014 0 0" mass=".0162" diaginertia="4.8e-6 3.7e-6 1.5e-6"/>
                    <joint name="left_finger" axis="0 1 0" range=".015 .037"/>
                    <geom pos=".004 .001 0"/>
                    <geom name="left_pad" class="pad" pos=".033 -.004 0"/>
                  </body>
                  <body name="right_finger_link" pos=".066 0 0" gravcomp="1" childclass="finger">
                    <inertial pos=".014 0 0" mass=".0162" diaginertia="4.8e-6 3.7e-6 1.5e-6"/>
                    <joint name="right_finger" axis="0 1 0" range="-.037 -.015"/>
                    <geom pos=".004 -.001 0"/>
                    <geom name="right_pad" class="pad" pos=".033 .004 0"/>
                  </body>
                </body>
              </body>
            </body>
          </body>
        </body>
      </body>
    </body>
  </worldbody>
  <equality>
    <joint joint1="left_finger" joint2="right_finger" polycoef="0 -1 0 0 0" solref=".008 1"/>
  </equality>
  <actuator>
    <position class="arm" name="waist" joint="waist"/>
    <position class="arm" name="shoulder" joint="shoulder"/>
    <position class="arm" name="elbow" joint="elbow"/>
    <position class="arm" name="forearm_roll" joint="forearm_roll" kp="60"/>
    <position class="arm" name="wrist_angle" joint="wrist_angle" kp="60"/>
    <position class="arm" name="wrist_rotate" joint="wrist_rotate" kp="60"/>
    <position name="gripper" joint="left_finger" kp="600" kv="20" ctrlrange="0 .037"
              forcerange="-12 12"/>
  </actuator>
</mujoco>
"""
