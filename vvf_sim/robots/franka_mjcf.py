# SPDX-License-Identifier: Apache-2.0
"""MJCF of the Franka arms from primitives; see `vvf_sim.robots.franka`.

Frames and inertias are the vendor's (``franka_description``: ``robots/fr3``,
``end_effectors/franka_hand``), shapes are not. ``{p}`` is the prefix of the joints' names,
``{r1}`` to ``{r7}`` are their ranges.
"""

MJCF = """
<mujoco model="{p}">
  <compiler angle="radian" autolimits="true"/>
  <option timestep="0.004" integrator="implicitfast" cone="elliptic" impratio="10"/>
  <default>
    <default class="arm">
      <joint axis="0 0 1" damping="1.0" armature="0.1"/>
      <position kp="12000" kv="400" inheritrange="1" forcerange="-87 87"/>
      <geom type="capsule" rgba=".9 .91 .92 1" contype="0" conaffinity="0" density="0" group="2"/>
      <default class="wrist">
        <position kp="3000" kv="60" inheritrange="1" forcerange="-12 12"/>
      </default>
      <default class="dark">
        <geom type="cylinder" rgba=".2 .21 .23 1" contype="0" conaffinity="0" group="2"/>
      </default>
      <default class="solid">
        <geom rgba=".9 .91 .92 1" contype="1" conaffinity="2" group="2"/>
      </default>
      <default class="pad">
        <geom type="box" size=".0125 .005 .0105" rgba=".24 .24 .27 1" contype="1" conaffinity="2"
              group="2" condim="4" friction="1.6 .02 .0005" solref=".01 1"
              solimp=".95 .99 .001" priority="1"/>
      </default>
      <default class="finger">
        <joint type="slide" damping="5" armature=".01" frictionloss="0"/>
        <geom type="box" rgba=".2 .21 .23 1" contype="1" conaffinity="2" group="2"/>
      </default>
    </default>
  </default>
  <worldbody>
    <body name="link0" childclass="arm" gravcomp="1">
      <inertial pos="-.0172 .0004 .0745" mass="2.3966" diaginertia=".009 .0115 .0085"/>
      <geom type="box" size=".11 .085 .03" pos="-.035 0 .03"/>
      <geom size=".07" fromto="0 0 .05 0 0 .12"/>
      <geom class="dark" size=".062 .01" pos="0 0 .195"/>
      <body name="link1" pos="0 0 .333" gravcomp="1">
        <inertial pos="0 -.0181 -.0386" mass="2.9275"
                  fullinertia=".02393 .02248 .00635 .00001 -.00011 -.002"/>
        <joint name="{p}_joint1" range="{r1}"/>
        <geom size=".06" fromto="0 0 -.09 0 0 0"/>
        <geom class="dark" size=".061 .065" euler="1.57079633 0 0"/>
        <body name="link2" quat="1 -1 0 0" gravcomp="1">
          <inertial pos=".0032 -.0743 .0088" mass="2.9355"
                    fullinertia=".04194 .02515 .0617 .0002 .00408 -.00423"/>
          <joint name="{p}_joint2" range="{r2}"/>
          <geom size=".058" fromto="0 0 0 0 -.17 0"/>
          <body name="link3" pos="0 -.316 0" quat="1 1 0 0" gravcomp="1">
            <inertial pos=".0407 -.0048 -.029" mass="2.2449"
                      fullinertia=".0241 .01974 .01904 .0024 -.00286 -.0021"/>
            <joint name="{p}_joint3" range="{r3}"/>
            <geom size=".055" fromto="0 0 -.09 0 0 -.05"/>
            <geom size=".05" fromto="0 0 -.05 .0825 0 0"/>
            <geom class="dark" size=".056 .055" pos=".0825 0 0" euler="1.57079633 0 0"/>
            <body name="link4" pos=".0825 0 0" quat="1 1 0 0" gravcomp="1">
              <inertial pos="-.0459 .063 -.0085" mass="2.6156"
                        fullinertia=".03453 .02888 .04125 .01323 .01015 -.00098"/>
              <joint name="{p}_joint4" range="{r4}"/>
              <geom size=".05" fromto="0 0 0 -.0825 .06 0"/>
              <geom class="solid" type="capsule" size=".054" fromto="-.0825 .06 0 -.0825 .16 0"/>
              <body name="link5" pos="-.0825 .384 0" quat="1 -1 0 0" gravcomp="1">
                <inertial pos="-.0016 .0293 -.0973" mass="2.3271"
                          fullinertia=".05161 .04788 .01642 -.00572 -.00357 .01067"/>
                <joint name="{p}_joint5" range="{r5}"/>
                <geom class="solid" type="capsule" size=".045" fromto="0 .01 -.16 0 .01 -.04"/>
                <geom class="dark" size=".05 .05" euler="1.57079633 0 0"/>
                <body name="link6" quat="1 1 0 0" gravcomp="1">
                  <inertial pos=".0597 -.041 -.0102" mass="1.817"
                            fullinertia=".00541 .01406 .01608 .00619 .00142 -.00131"/>
                  <joint name="{p}_joint6" range="{r6}"/>
                  <geom class="solid" type="capsule" size=".045" fromto="0 0 0 .088 0 0"/>
                  <body name="link7" pos=".088 0 0" quat="1 1 0 0" gravcomp="1">
                    <inertial pos=".0045 .0086 -.0162" mass=".6271"
                              diaginertia=".0006 .0006 .0004"/>
                    <joint name="{p}_joint7" range="{r7}"/>
                    <geom class="solid" type="cylinder" size=".044 .035" pos="0 0 .05"/>
                    <geom class="dark" size=".033 .011" pos="0 0 .096"/>
                    <body name="hand" pos="0 0 .107" gravcomp="1"
                          quat=".27059805 .65328148 -.27059805 .65328148">
                      <inertial pos=".03 0 -.01" mass=".73" diaginertia=".0017 .001 .0025"/>
                      <geom class="solid" type="box" size=".014 .1 .031" pos=".014 0 0"/>
                      <geom class="solid" type="box" size=".017 .09 .025" pos=".045 0 0"/>
                      <site name="ee" pos=".1034 0 0" size=".004" group="4"/>
                      <body name="left_finger_link" pos=".0584 0 0" gravcomp="1"
                            childclass="finger">
                        <inertial pos=".027 .01 0" mass=".03" diaginertia="5e-6 4e-6 4e-6"/>
                        <joint name="left_finger" axis="0 1 0" range="0 .04"/>
                        <geom size=".013 .0075 .0105" pos=".014 .0185 0"/>
                        <geom size=".011 .0045 .009" pos=".03 .015 0" euler="0 0 -.5236"/>
                        <geom name="left_pad" class="pad" pos=".042 .005 0"/>
                      </body>
                      <body name="right_finger_link" pos=".0584 0 0" gravcomp="1"
                            childclass="finger">
                        <inertial pos=".027 -.01 0" mass=".03" diaginertia="5e-6 4e-6 4e-6"/>
                        <joint name="right_finger" axis="0 1 0" range="-.04 0"/>
                        <geom size=".013 .0075 .0105" pos=".014 -.0185 0"/>
                        <geom size=".011 .0045 .009" pos=".03 -.015 0" euler="0 0 .5236"/>
                        <geom name="right_pad" class="pad" pos=".042 -.005 0"/>
                      </body>
                    </body>
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
    <position class="arm" name="{p}_joint1" joint="{p}_joint1"/>
    <position class="arm" name="{p}_joint2" joint="{p}_joint2"/>
    <position class="arm" name="{p}_joint3" joint="{p}_joint3"/>
    <position class="arm" name="{p}_joint4" joint="{p}_joint4"/>
    <position class="wrist" name="{p}_joint5" joint="{p}_joint5"/>
    <position class="wrist" name="{p}_joint6" joint="{p}_joint6"/>
    <position class="wrist" name="{p}_joint7" joint="{p}_joint7"/>
    <position name="gripper" joint="left_finger" kp="600" kv="20" ctrlrange="-.02 .04"
              forcerange="-14 14"/>
  </actuator>
</mujoco>
"""
